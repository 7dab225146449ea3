/* net: an integer network in C99.
   a test

   net.c and net_weights.c are the network. net_static.c holds net_run and its arena: leave it out
   to own the arena. net_selftest.c is the self-test, which the linker drops where nothing calls it.

   Arrays hold one sample in the order of the ONNX tensor; real = (stored - ZERO) * SCALE, and SCALE_BITS is SCALE as the
   bits of a float32. */
#ifndef net_H
#define net_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define net_ARENA_BYTES 172
#define net_ARENA_ALIGN 4

/* input image, shape [2, 6, 5], -128..127 */
#define net_IN_image_SIZE 60
#define net_IN_image_SCALE 1.0f
#define net_IN_image_SCALE_BITS 0x3f800000u
#define net_IN_image_ZERO 79
/* output class, shape [], 0..3 */
#define net_OUT_class_t_SIZE 1
#define net_OUT_class_t_SCALE 1.0f
#define net_OUT_class_t_SCALE_BITS 0x3f800000u
#define net_OUT_class_t_ZERO 0
/* output scores, shape [4], -128..127 */
#define net_OUT_scores_SIZE 4
#define net_OUT_scores_SCALE 1.0f
#define net_OUT_scores_SCALE_BITS 0x3f800000u
#define net_OUT_scores_ZERO 53

typedef struct {
    int8_t image[60]; /* [2, 6, 5] */
} net_in_t;

typedef struct {
    uint8_t class_t[1]; /* [] */
    int8_t scores[4]; /* [4] */
} net_out_t;

/* One inference, in a static arena: not reentrant. The structs must not overlap. */
void net_run(const net_in_t *in, net_out_t *out);

/* The same in an arena of net_ARENA_BYTES bytes, aligned to net_ARENA_ALIGN: reentrant with distinct arenas.
   The arena needs no initial value and keeps nothing between two calls. */
void net_run_arena(const net_in_t *in, net_out_t *out, void *arena);

/* Runs the golden vectors: 0, or the number (from 1) of the first sample that differs. Uses net_run. */
int net_selftest(void);

#ifdef __cplusplus
}
#endif

#endif
