/* What ONNX Runtime's TensorRT provider calls to keep an engine and to take it back, passed on to
 * whoever has set the two callbacks (engine_cache.py). Both return 0 on failure.
 *
 * encrypt(path, data, size): keep the engine under this path.
 * decrypt(path, NULL, &size): its size; decrypt(path, data, &size): the engine.
 */
#include <stddef.h>

typedef int (*encrypt_fn)(const char *path, char *data, size_t size);
typedef int (*decrypt_fn)(const char *path, char *data, size_t *size);

static encrypt_fn on_encrypt;
static decrypt_fn on_decrypt;

void engine_hooks_set(encrypt_fn encrypting, decrypt_fn decrypting) {
  on_encrypt = encrypting;
  on_decrypt = decrypting;
}

int encrypt(const char *path, char *data, size_t size) {
  return on_encrypt ? on_encrypt(path, data, size) : 0;
}

int decrypt(const char *path, char *data, size_t *size) {
  return on_decrypt ? on_decrypt(path, data, size) : 0;
}
