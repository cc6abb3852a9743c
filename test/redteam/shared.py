"""Keeps a secret where only the kernel does: System V shared memory and the session keyring. Usage:
shared.py FILE, the secret in SECRET; prints the segment's id, the key's and the file's handle, and
gives them back when its input ends."""
import ctypes, os, platform, sys

libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
secret = os.environ['SECRET'].encode()
segment = libc.shmget(0, 4096, 0o1600)
ctypes.memmove(libc.shmat(segment, None, 0), secret + b'\0', len(secret) + 1)
add_key, keyctl = (217, 219) if platform.machine() == 'aarch64' else (248, 250)
key = libc.syscall(add_key, b'user', b'jit-red-team', secret, len(secret), -3)
libc.syscall(keyctl, 5, key, 0x3F3F0000)
handle = ctypes.create_string_buffer(136)
ctypes.c_uint32.from_buffer(handle).value = 128
mount = ctypes.c_int()
libc.name_to_handle_at(-100, sys.argv[1].encode(), handle, ctypes.byref(mount), 0)
size = ctypes.c_uint32.from_buffer(handle).value
print(segment, key, handle.raw[: 8 + size].hex(), flush=True)
sys.stdin.read()
libc.shmctl(segment, 0, None)
libc.syscall(keyctl, 9, key, -3)
