/* net: runs the self-test and prints the verdict, the instructions of one inference and its stack.
   a test
*/
#include "net.h"

#include "board.h"
#include "semihost.h"

static net_in_t in;
static net_out_t out;

int main(void)
{
    const int failed = net_selftest();

    board_stack_paint();
    board_count_start();
    net_run(&in, &out);
    const uint32_t instructions = board_count_stop();

    semihost_puts(failed ? "net: FAIL, a golden output differs\n" : "net: PASS, all golden outputs equal\n");
    semihost_puts("net: instructions of one inference: ");
    semihost_put_u32(instructions);
    semihost_puts("\nnet: bytes of stack: ");
    semihost_put_u32(board_stack_used());
    semihost_puts("\n");
    return failed != 0;
}
