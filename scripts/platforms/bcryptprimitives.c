// For versions of Wine that lack bcryptprimitives.dll, from which programs in Rust get random numbers.
// advapi32.dll of Wine exports the same function as SystemFunction036.

typedef unsigned char byte;

__declspec(dllimport) byte __stdcall SystemFunction036(void *buffer, unsigned long length);

__declspec(dllexport) int __stdcall ProcessPrng(byte *buffer, unsigned long long length) {
  while (length > 0) {
    unsigned long part = length < 0x10000 ? (unsigned long)length : 0x10000;
    if (!SystemFunction036(buffer, part)) return 0;
    buffer += part;
    length -= part;
  }
  return 1;
}

int __stdcall DllMainCRTStartup(void *module, unsigned long reason, void *reserved) {
  (void)module, (void)reason, (void)reserved;
  return 1;
}
