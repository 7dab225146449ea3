/* net: the self-test as a program for the host. Exit code 0 where every bit agrees.
   a test
*/
#include <stdio.h>

#include "net.h"

int main(void)
{
    const int failed = net_selftest();
    if (failed)
        printf("net: FAIL, golden sample %d differs\n", failed);
    else
        printf("net: PASS, all golden outputs equal\n");
    return failed != 0;
}
