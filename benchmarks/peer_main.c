/* Runs the peer's network on every frame of in.bin, writes the outputs to out.bin and prints one JSON object.
 * Linked with the board support of an hwcomp product (src/baremetal). INPUTS and OUTPUTS are element counts.
 */
#include "board.h"
#include "semihost.h"

void peer(const float *in, float *out);

static float in[INPUTS];
static float out[OUTPUTS];

int main(void)
{
    const int from = semihost_open("in.bin", SEMIHOST_READ);
    const int to = semihost_open("out.bin", SEMIHOST_WRITE);
    uint32_t instructions = 0;
    uint32_t stack = 0;

    if (from < 0 || to < 0) {
        return 1;
    }
    while (semihost_read(from, in, sizeof in) == sizeof in) {
        board_stack_paint();
        board_count_start();
        peer(in, out);
        instructions = board_count_stop();
        stack = board_stack_used();
        if (semihost_write(to, out, sizeof out) != sizeof out) {
            return 1;
        }
    }
    semihost_puts("{\"instructions\": ");
    semihost_put_u32(instructions);
    semihost_puts(", \"stack_bytes\": ");
    semihost_put_u32(stack);
    semihost_puts("}\n");
    return semihost_close(from) != 0 || semihost_close(to) != 0;
}
