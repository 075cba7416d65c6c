/* What the headers of a NumPy for Linux ask for; the other systems here are little-endian. */
#define __LITTLE_ENDIAN 1234
#define __BIG_ENDIAN 4321
#define __BYTE_ORDER __LITTLE_ENDIAN
