# In the demo's copy alone: see witness.ts.
resource "terraform_data" "witness" {
  provisioner "local-exec" {
    command = "node witness.ts"
  }
}
