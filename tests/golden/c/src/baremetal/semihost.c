/* Arm semihosting: calls that a debugger or QEMU answers.
   a test
*/
#include "semihost.h"

enum {
    SYS_OPEN = 0x01,
    SYS_CLOSE = 0x02,
    SYS_WRITE0 = 0x04,
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_FLEN = 0x0C,
    SYS_EXIT_EXTENDED = 0x20,
    APPLICATION_EXIT = 0x20026
};

static int32_t call(int32_t operation, const void *block)
{
    register int32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = block;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void semihost_puts(const char *text)
{
    (void)call(SYS_WRITE0, text);
}

void semihost_put_u32(uint32_t value)
{
    char text[11];
    char *p = text + sizeof text - 1;

    *p = '\0';
    do {
        *--p = (char)('0' + value % 10u);
        value /= 10u;
    } while (value != 0u);
    semihost_puts(p);
}

int semihost_open(const char *name, semihost_mode_t mode)
{
    uint32_t length = 0;

    while (name[length] != '\0') {
        length++;
    }
    const uint32_t block[3] = {(uint32_t)(uintptr_t)name, (uint32_t)mode, length};
    return (int)call(SYS_OPEN, block);
}

size_t semihost_length(int file)
{
    const uint32_t block[1] = {(uint32_t)file};
    const int32_t length = call(SYS_FLEN, block);

    return length < 0 ? 0u : (size_t)length;
}

/* The host answers with the number of bytes that were NOT transferred. */
size_t semihost_read(int file, void *to, size_t bytes)
{
    const uint32_t block[3] = {(uint32_t)file, (uint32_t)(uintptr_t)to, (uint32_t)bytes};
    const uint32_t left = (uint32_t)call(SYS_READ, block);

    return left > bytes ? 0u : bytes - left;
}

size_t semihost_write(int file, const void *from, size_t bytes)
{
    const uint32_t block[3] = {(uint32_t)file, (uint32_t)(uintptr_t)from, (uint32_t)bytes};
    const uint32_t left = (uint32_t)call(SYS_WRITE, block);

    return left > bytes ? 0u : bytes - left;
}

int semihost_close(int file)
{
    const uint32_t block[1] = {(uint32_t)file};

    return (int)call(SYS_CLOSE, block);
}

void semihost_exit(int code)
{
    const uint32_t block[2] = {APPLICATION_EXIT, (uint32_t)code};

    for (;;) {
        (void)call(SYS_EXIT_EXTENDED, block);
    }
}
