/* Start-up of a Cortex-M4F: vector table, FPU on, .data copied, .bss cleared, main, exit.
   a test
*/
#include <stdint.h>

#include "semihost.h"

#define CPACR (*(volatile uint32_t *)0xE000ED88u)

/* From the linker script. */
extern uint32_t __stack_top;
extern uint32_t __data_start;
extern uint32_t __data_end;
extern const uint32_t __data_load;
extern uint32_t __bss_start;
extern uint32_t __bss_end;

int main(void);
void Reset_Handler(void);

static void Fault_Handler(void)
{
    semihost_puts("fault\n");
    semihost_exit(3);
}

void __attribute__((noreturn, used)) Reset_Handler(void)
{
    CPACR |= 0xFu << 20; /* full access to the FPU */
    __asm__ volatile("dsb\n\tisb" ::: "memory");

    const uint32_t *from = &__data_load;
    for (uint32_t *to = &__data_start; to < &__data_end; to++, from++) {
        *to = *from;
    }
    for (uint32_t *to = &__bss_start; to < &__bss_end; to++) {
        *to = 0u;
    }
    semihost_exit(main());
}

typedef union {
    uint32_t *stack;
    void (*handler)(void);
} vector_t;

/* No interrupt is used: the stack, reset and the five faults are enough. */
static const vector_t vectors[7] __attribute__((section(".vectors"), used)) = {
    {.stack = &__stack_top},       {.handler = Reset_Handler},
    {.handler = Fault_Handler}, /* NMI */
    {.handler = Fault_Handler}, /* hard fault */
    {.handler = Fault_Handler}, /* memory management */
    {.handler = Fault_Handler}, /* bus fault */
    {.handler = Fault_Handler}, /* usage fault */
};
