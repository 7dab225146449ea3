/* net: declarations of the constants. Private.
   a test
*/
#ifndef net_WEIGHTS_H
#define net_WEIGHTS_H

#include <stdint.h>

/* Where the constants go: define it as a section attribute, for instance for external flash. */
#ifndef net_CONST
#define net_CONST
#endif

/* Weights are read a word at a time. */
#if defined(__GNUC__)
#define net_ALIGN __attribute__((aligned(4)))
#else
#define net_ALIGN
#endif

extern net_CONST const int8_t net_w0[60];
extern net_CONST const int32_t net_b0[3];
extern net_CONST const int32_t net_m0[3];
extern net_CONST const int64_t net_c0[3];
extern net_CONST const int32_t net_m2[3];
extern net_CONST const int8_t net_w4[80];
extern net_CONST const int32_t net_b4[4];
extern net_CONST const int32_t net_m4[4];

#endif
