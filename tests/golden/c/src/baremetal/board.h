/* What the program needs of the board: a counter of executed instructions and
   the depth of the stack.

   Under QEMU with -icount shift=N every instruction takes 2^N ns of virtual
   time, and TIMER0 counts it down at 25 MHz (40 ns). From N = 6 on a tick is
   shorter than an instruction, so the count is exact; runs repeat exactly.
   N = 7 counts up to 1.3e9 instructions, N = 3 up to 2.1e10 in steps of 5.
   Instructions are not cycles: a load of n registers counts once.
   a test
*/
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

#ifndef ICOUNT_SHIFT
#define ICOUNT_SHIFT 7 /* must equal the shift given to QEMU */
#endif

void board_count_start(void);
uint32_t board_count_stop(void); /* instructions since board_count_start, less the counting itself (about 2 remain) */

void board_stack_paint(void);    /* marks the unused part of the stack */
uint32_t board_stack_used(void); /* bytes below the caller's frame touched since then; 64 at least */

#endif
