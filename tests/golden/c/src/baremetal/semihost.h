/* Arm semihosting: console, exit and files of the host, for a debugger or QEMU
   (-semihosting-config enable=on,target=native). File names are relative to the
   directory in which QEMU was started.
   a test
*/
#ifndef SEMIHOST_H
#define SEMIHOST_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    SEMIHOST_READ = 1,  /* "rb": an existing file */
    SEMIHOST_WRITE = 5, /* "wb": created, or emptied */
    SEMIHOST_APPEND = 9 /* "ab" */
} semihost_mode_t;

void semihost_puts(const char *text);                          /* no newline is added */
void semihost_put_u32(uint32_t value);                         /* decimal */
int semihost_open(const char *name, semihost_mode_t mode);     /* a handle, or -1 */
size_t semihost_length(int file);                              /* bytes in the file */
size_t semihost_read(int file, void *to, size_t bytes);        /* bytes that were read */
size_t semihost_write(int file, const void *from, size_t bytes); /* bytes that were written */
int semihost_close(int file);                                  /* 0 when done */
void semihost_exit(int code) __attribute__((noreturn));        /* the exit code of QEMU */

#endif
