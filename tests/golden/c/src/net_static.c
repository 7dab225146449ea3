/* net_run: the network with a static arena.
   a test
*/
#include "net.h"

void net_run(const net_in_t *in, net_out_t *out)
{
    static union {
        uint8_t bytes[net_ARENA_BYTES];
        uint64_t aligned;
    } arena;
    net_run_arena(in, out, arena.bytes);
}
