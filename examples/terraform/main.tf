# A stack in miniature. Its state lives in PostgreSQL, and its only resource is built into terraform,
# so that nothing is downloaded. No credential is written here: `jit exec` sets PG_CONN_STR for as
# long as terraform runs.
terraform {
  required_version = ">= 1.4"

  backend "pg" {
    schema_name = "shop_terraform"
  }
}

variable "release" {
  description = "The release to deploy."
  type        = string
  default     = "2026.11"
}

resource "terraform_data" "shop" {
  input = { name = "shop", release = var.release }
}

output "deployed" {
  value = "${terraform_data.shop.output.name} ${terraform_data.shop.output.release}"
}
