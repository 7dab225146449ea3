/* Counter of instructions and depth of the stack, on an Arm MPS2 board.
   a test
*/
#include "board.h"

/* CMSDK timer of the Arm MPS2 boards. */
#define TIMER0_CTRL (*(volatile uint32_t *)0x40000000u)
#define TIMER0_VALUE (*(volatile uint32_t *)0x40000004u)
#define TIMER0_RELOAD (*(volatile uint32_t *)0x40000008u)
#define TIMER_ENABLE 1u
#define TIMER_NS 40u /* one tick at 25 MHz */

#define PAINT 0xA5C35A3Cu

extern uint32_t __stack_limit; /* from the linker script */

#define MARGIN 16 /* words kept for the frames of the functions below */

static uint32_t *reference; /* the stack of the caller of board_stack_paint */
static uint32_t overhead; /* ticks of an empty measurement */

static void __attribute__((noinline)) start(void)
{
    TIMER0_CTRL = 0u;
    TIMER0_RELOAD = 0xFFFFFFFFu;
    TIMER0_VALUE = 0xFFFFFFFFu;
    TIMER0_CTRL = TIMER_ENABLE;
}

static uint32_t __attribute__((noinline)) elapsed(void)
{
    return 0xFFFFFFFFu - TIMER0_VALUE;
}

void board_count_start(void)
{
    start();
    overhead = elapsed();
    start();
}

uint32_t board_count_stop(void)
{
    const uint32_t ticks = elapsed() - overhead;
    const uint64_t ns = (uint64_t)ticks * TIMER_NS;

    return (uint32_t)((ns + (1u << ICOUNT_SHIFT) / 2u) >> ICOUNT_SHIFT);
}

void __attribute__((noinline)) board_stack_paint(void)
{
    reference = (uint32_t *)__builtin_frame_address(0);
    for (uint32_t *p = &__stack_limit; p < reference - MARGIN; p++) {
        *p = PAINT;
    }
}

uint32_t __attribute__((noinline)) board_stack_used(void)
{
    const uint32_t *p = &__stack_limit;

    while (p < reference - MARGIN && *p == PAINT) {
        p++;
    }
    return (uint32_t)(reference - p) * (uint32_t)sizeof *p;
}
