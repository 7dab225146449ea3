/* net: the self-test.
   a test
*/
#include "net_golden.h"

int net_selftest(void)
{
    static net_out_t out;
    size_t i;
    int sample;
    for (sample = 0; sample < net_GOLDEN_SAMPLES; sample++) {
        const net_out_t *const want = &net_golden_out[sample];
        net_run(&net_golden_in[sample], &out);
        for (i = 0; i < 1; i++)
            if (out.class_t[i] != want->class_t[i])
                return sample + 1;
        for (i = 0; i < 4; i++)
            if (out.scores[i] != want->scores[i])
                return sample + 1;
    }
    return 0;
}
