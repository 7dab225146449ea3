/* net: the kernels, and net_run_arena at the end.
   a test
*/
#include "net.h"

#include <string.h>

#include "net_weights.h"

/* Called after every tensor is complete: its id, its address and its number of elements. Define it to look inside. */
#ifndef net_TAP
#define net_TAP(id, ptr, n) ((void)0)
#endif

/* A build for a little-endian Arm core with the DSP extension takes two products per instruction
   (net_DSP is 1); every result is the same integer on either path. Define net_DSP as 0 to force plain C. */
#ifndef net_DSP
#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__) && defined(__GNUC__) && !defined(__ARM_BIG_ENDIAN)
#define net_DSP 1
#else
#define net_DSP 0
#endif
#endif
#if net_DSP
#include <arm_acle.h>
/* A function of assembly text only: the compiler must pass all arguments and assume nothing. */
#if defined(__clang__)
#define net_ASM __attribute__((naked, noinline, unused))
#else
#define net_ASM __attribute__((naked, noipa, unused))
#endif
#endif

/* Functions that are better not copied to several places. */
#if defined(__GNUC__)
#define net_NOINLINE __attribute__((noinline))
#else
#define net_NOINLINE
#endif

/* Shifting a negative number right must keep its sign (C99 leaves that to the compiler; all known ones do). */
typedef char net_arithmetic_shift[(-1 >> 1) == -1 ? 1 : -1];

static inline uint32_t net_load4(const void *from)
{
    uint32_t word;
    memcpy(&word, from, 4);
    return word;
}

static inline void net_store4(void *to, uint32_t word)
{
    memcpy(to, &word, 4);
}

/* Copy `bytes`, a word at a time. */
static inline void net_copy(void *to, const void *from, size_t bytes)
{
    unsigned char *d = to;
    const unsigned char *s = from;
    for (; bytes >= 16; bytes -= 16, d += 16, s += 16) {
        net_store4(d, net_load4(s));
        net_store4(d + 4, net_load4(s + 4));
        net_store4(d + 8, net_load4(s + 8));
        net_store4(d + 12, net_load4(s + 12));
    }
    for (; bytes >= 4; bytes -= 4, d += 4, s += 4)
        net_store4(d, net_load4(s));
    for (; bytes > 0; bytes--)
        *d++ = *s++;
}

/* Requantize and clamp. Products and sums stay inside int64_t: proved when this was compiled. */
static inline int32_t net_clamp32(int32_t v, int32_t lo, int32_t hi)
{
    const int32_t floor = v < lo ? lo : v;
    return floor > hi ? hi : floor;
}

/* Clamp to a signed or unsigned type of some bits: one instruction on most Arm cores. */
#if defined(__ARM_FEATURE_SAT) && defined(__GNUC__)
#define net_SIGNED(v, bits) ((int32_t)__builtin_arm_ssat((v), (bits)))
#define net_UNSIGNED(v, bits) ((int32_t)__builtin_arm_usat((v), (bits)))
#else
#define net_SIGNED(v, bits) net_clamp32((v), -(INT32_C(1) << ((bits) - 1)), (INT32_C(1) << ((bits) - 1)) - 1)
#define net_UNSIGNED(v, bits) net_clamp32((v), 0, (INT32_C(1) << (bits)) - 1)
#endif

/* (a*m + c) >> s */
static inline int64_t net_affine(int64_t a, int64_t m, int64_t c, unsigned s)
{
    return (a * m + c) >> s;
}

/* a*m / 2^s to the nearest integer, ties to even, plus z */
static inline int64_t net_rne(int64_t a, int64_t m, unsigned s, int64_t z)
{
    const int64_t product = a * m;
    if (s == 0)
        return product + z;
    return ((product + ((INT64_C(1) << (s - 1)) - 1) + ((product >> s) & 1)) >> s) + z;
}

/* acc[row][window] += sum over 4*groups of weight * value: 2 rows of weights, 1 window. */
#if net_DSP
/* r0 values, r1 weights, r2 and r3 the sums of row 0 and row 1. An odd group first, then pairs of groups, 92 bytes
   of code each and four in a turn; the first turn is entered in its middle. */
static void net_ASM net_dot_rawx2_s8_s8(
    const int8_t *x __attribute__((unused)), const int8_t *w __attribute__((unused)),
    size_t groups __attribute__((unused)), int32_t *acc __attribute__((unused)))
{
    __asm__ volatile(
        ".syntax unified\n\t"
        "push   {r3-r11, lr}\n\t"
        "mov    lr, r2\n\t"
        "ldm    r3, {r2-r3}\n\t"
        "lsrs   lr, lr, #1\n\t"
        "bcc    2f\n\t"
        "ldr    r4, [r0], #4\n\t"
        "sxtb16 r5, r4, ror #8\n\t"
        "sxtb16 r4, r4\n\t"
        "ldrd   r8, r9, [r1], #8\n\t"
        "sxtb16 r12, r8\n\t"
        "smlad  r2, r4, r12, r2\n\t"
        "sxtb16 r8, r8, ror #8\n\t"
        "smlad  r3, r4, r8, r3\n\t"
        "sxtb16 r12, r9\n\t"
        "smlad  r2, r5, r12, r2\n\t"
        "sxtb16 r9, r9, ror #8\n\t"
        "smlad  r3, r5, r9, r3\n"
        "2:\n\t"
        "cmp    lr, #0\n\t"
        "beq    3f\n\t"
        "rsb    r12, lr, #4\n\t"
        "and    r12, r12, #3\n\t"
        "mov    r5, #92\n\t"
        "adr.w  r4, 1f\n\t"
        "mla    r12, r12, r5, r4\n\t"
        "add    lr, lr, #3\n\t"
        "lsr    lr, lr, #2\n\t"
        "mov    pc, r12\n\t"
        ".balign 4\n"
        "1:\n\t"
        ".rept 4\n\t"
        "ldr.w  r4, [r0], #4\n\t"
        "ldr.w  r6, [r0], #4\n\t"
        "sxtb16.w r5, r4, ror #8\n\t"
        "sxtb16.w r4, r4\n\t"
        "sxtb16.w r7, r6, ror #8\n\t"
        "sxtb16.w r6, r6\n\t"
        "ldm.w  r1!, {r8-r11}\n\t"
        "sxtb16.w r12, r8\n\t"
        "smlad  r2, r4, r12, r2\n\t"
        "sxtb16.w r8, r8, ror #8\n\t"
        "smlad  r3, r4, r8, r3\n\t"
        "sxtb16.w r12, r9\n\t"
        "smlad  r2, r5, r12, r2\n\t"
        "sxtb16.w r9, r9, ror #8\n\t"
        "smlad  r3, r5, r9, r3\n\t"
        "sxtb16.w r12, r10\n\t"
        "smlad  r2, r6, r12, r2\n\t"
        "sxtb16.w r10, r10, ror #8\n\t"
        "smlad  r3, r6, r10, r3\n\t"
        "sxtb16.w r12, r11\n\t"
        "smlad  r2, r7, r12, r2\n\t"
        "sxtb16.w r11, r11, ror #8\n\t"
        "smlad  r3, r7, r11, r3\n\t"
        ".endr\n\t"
        "subs   lr, lr, #1\n\t"
        "bne    1b\n"
        "3:\n\t"
        "pop    {r12}\n\t"
        "stm    r12, {r2-r3}\n\t"
        "pop    {r4-r11, pc}\n");
}
#else
static net_NOINLINE void net_dot_rawx2_s8_s8(const int8_t *x, const int8_t *w, size_t groups, int32_t *acc)
{
    int32_t a00 = acc[0];
    int32_t a10 = acc[1];
    for (; groups > 0; groups--, x += 4, w += 8) {
        a00 += (int32_t)x[0] * w[0];
        a10 += (int32_t)x[0] * w[1];
        a00 += (int32_t)x[2] * w[2];
        a10 += (int32_t)x[2] * w[3];
        a00 += (int32_t)x[1] * w[4];
        a10 += (int32_t)x[1] * w[5];
        a00 += (int32_t)x[3] * w[6];
        a10 += (int32_t)x[3] * w[7];
    }
    acc[0] = a00;
    acc[1] = a10;
}
#endif

/* acc[row][window] += sum over 4*groups of weight * value: 1 row of weights, 1 window. */
#if net_DSP
static inline void net_dot_rawx1_s8_s8(const int8_t *x, const int8_t *w, size_t groups, int32_t *acc)
{
    int32_t a0 = acc[0];
    for (; groups > 0; groups--, x += 4, w += 4) {
        const uint32_t bytes = net_load4(w);
        uint32_t even, odd;
        __asm__("sxtb16 %0, %1" : "=r"(even) : "r"(bytes));
        __asm__("sxtb16 %0, %1, ror #8" : "=r"(odd) : "r"(bytes));
        const uint32_t values = net_load4(x);
        uint32_t even_x, odd_x;
        __asm__("sxtb16 %0, %1" : "=r"(even_x) : "r"(values));
        __asm__("sxtb16 %0, %1, ror #8" : "=r"(odd_x) : "r"(values));
        a0 = __smlad((int16x2_t)even_x, (int16x2_t)even, a0);
        a0 = __smlad((int16x2_t)odd_x, (int16x2_t)odd, a0);
    }
    acc[0] = a0;
}
#else
static net_NOINLINE void net_dot_rawx1_s8_s8(const int8_t *x, const int8_t *w, size_t groups, int32_t *acc)
{
    int32_t a00 = acc[0];
    for (; groups > 0; groups--, x += 4, w += 4) {
        a00 += (int32_t)x[0] * w[0];
        a00 += (int32_t)x[2] * w[2];
        a00 += (int32_t)x[1] * w[1];
        a00 += (int32_t)x[3] * w[3];
    }
    acc[0] = a00;
}
#endif

static inline int8_t net_max_int8_t(int8_t a, int8_t b)
{
    return a > b ? a : b;
}

static inline int net_greater_int8_t(int8_t a, int8_t b)
{
    return a > b;
}

/* clamp((a * m[channel] + c[channel]) >> 32, -128, 127) */
static inline int8_t net_k0_requantize(int32_t a, int32_t m, int64_t c)
{
    const int32_t v = (int32_t)net_affine(a, m, c, 32);
    return (int8_t)net_SIGNED(v, 8);
}

/* One window of values against 3 rows of weights. */
static net_NOINLINE void net_k0_block(const int8_t *values, int8_t *y)
{
    const int8_t *w = net_w0;
    int32_t acc[2];
    size_t m;
    for (m = 0; m < 2; m += 2, w += 40) {
        acc[0] = net_b0[m];
        acc[1] = net_b0[m + 1];
        net_dot_rawx2_s8_s8(values, w, 5, acc);
        y[m] = net_k0_requantize(acc[0], net_m0[m], net_c0[m]);
        y[m + 1] = net_k0_requantize(acc[1], net_m0[m + 1], net_c0[m + 1]);
    }
    { /* the odd row */
        acc[0] = net_b0[2];
        net_dot_rawx1_s8_s8(values, w, 5, acc);
        y[2] = net_k0_requantize(acc[0], net_m0[2], net_c0[2]);
    }
}

/* A window that lies inside the map; x is its first element. */
static inline void net_k0_inside(int8_t *window, const int8_t *x)
{
    size_t ky;
    for (ky = 0; ky < 3; ky++)
        net_copy(window + ky * 6, x + ky * 10, 6);
}

/* A window that reaches over the edge of the map: what is outside counts as -83. (iy, ix) is its first element. */
static net_NOINLINE void net_k0_border(int8_t *window, const int8_t *x, int32_t iy, int32_t ix)
{
    int8_t *to = window;
    int32_t ky, kx, c;
    for (ky = iy; ky < iy + 3; ky += 1)
        for (kx = ix; kx < ix + 3; kx += 1, to += 2)
            if (ky >= 0 && ky < 6 && kx >= 0 && kx < 5)
                net_copy(to, x + (ky * 5 + kx) * 2, 2);
            else
                for (c = 0; c < 2; c++)
                    to[c] = (-83);
}

/* Layer 0: conv2d_0 (conv2d), from ONNX /conv2d_0/Node.
   int8_t [2, 6, 5], channels last, -128..127 -> int8_t [3, 6, 5], channels last, -128..127
   kernel 3x3, stride 1x1, pads [1, 1, 1, 1] of -83.
   1620 MACs; accumulator -206925..197045 (19 bits). */
static void net_k0_conv2d(const int8_t *x, int8_t *y, void *scratch)
{
    int8_t *const window = scratch;
    int32_t oy, ox;
    window[18] = window[19] = 0;
    for (oy = 0; oy < 6; oy++) {
        const int32_t iy = oy - 1;
        const int inner = oy >= 1 && oy < 5; /* rows that touch no padding */
        const int32_t from = inner ? 1 : 5, to = inner ? 4 : 5;
        for (ox = 0; ox < from; ox++, y += 3) {
            net_k0_border(window, x, iy, ox - 1);
            net_k0_block(window, y);
        }
        for (; ox < to; ox++, y += 3) {
            net_k0_inside(window, x + (iy * 5 + ox - 1) * 2);
            net_k0_block(window, y);
        }
        for (; ox < 5; ox++, y += 3) {
            net_k0_border(window, x, iy, ox - 1);
            net_k0_block(window, y);
        }
    }
}

/* The largest of `ny` x `nx` elements of each channel, of those inside the map; x is the first of them. */
static inline void net_k1_window(const int8_t *x, int32_t ny, int32_t nx, int8_t *y)
{
    int32_t c = 0, ky, kx;
    for (; c < 3; c++) {
        int8_t best = x[c];
        for (ky = 0; ky < ny; ky++)
            for (kx = 0; kx < nx; kx++)
                best = net_max_int8_t(best, x[ky * 15 + kx * 3 + c]);
        y[c] = best;
    }
}

/* Layer 1: maxpool2d_1 (maxpool2d), from ONNX /maxpool2d_1/Node.
   int8_t [3, 6, 5], channels last, -128..127 -> int8_t [3, 3, 2], channels last, -128..127
   kernel 2x2, stride 2x2. */
static void net_k1_maxpool2d(const int8_t *x, int8_t *y)
{
    int32_t oy, ox;
    for (oy = 0; oy < 3; oy++) {
        for (ox = 0; ox < 2; ox++, y += 3)
            net_k1_window(x + oy * 30 + ox * 6, 2, 2, y);
    }
}

/* clamp(round_half_even(a * m[channel] / 2^15) + -45, -128, 127) */
static inline int8_t net_k2_requantize(int32_t a, int32_t m)
{
    const int32_t v = (int32_t)net_rne(a, m, 15, INT64_C(-45));
    return (int8_t)net_SIGNED(v, 8);
}

/* Layer 2: requantize_2 (requantize), from ONNX /requantize_2/Node.
   int8_t [3, 3, 2], channels last, -128..127 -> int8_t [3, 3, 2], channels last, -128..127 */
static void net_k2_requantize_all(const int8_t *x, int8_t *y)
{
    size_t outer, channel;
    for (outer = 0; outer < 6; outer++)
        for (channel = 0; channel < 3; channel++)
            *y++ = net_k2_requantize(*x++, net_m2[channel]);
}

/* Layer 3: reshape_3 (reshape), from ONNX /reshape_3/Node.
   int8_t [3, 3, 2], channels last, -128..127 -> int8_t [18], -128..127
   The same memory under another shape: nothing runs. */

/* clamp(round_half_even(a * m[channel] / 2^32) + -106, -128, 127) */
static inline int8_t net_k4_requantize(int32_t a, int32_t m)
{
    const int32_t v = (int32_t)net_rne(a, m, 32, INT64_C(-106));
    return (int8_t)net_SIGNED(v, 8);
}

/* One window of values against 4 rows of weights. */
static void net_k4_block(const int8_t *values, int8_t *y)
{
    const int8_t *w = net_w4;
    int32_t acc[2];
    size_t m;
    for (m = 0; m < 4; m += 2, w += 40) {
        acc[0] = net_b4[m];
        acc[1] = net_b4[m + 1];
        net_dot_rawx2_s8_s8(values, w, 5, acc);
        y[m] = net_k4_requantize(acc[0], net_m4[m]);
        y[m + 1] = net_k4_requantize(acc[1], net_m4[m + 1]);
    }
}

/* Layer 4: dense_4 (dense), from ONNX /dense_4/Node.
   int8_t [18], -128..127 -> int8_t [4], -128..127
   72 MACs; accumulator -167032..227232 (19 bits). */
static void net_k4_dense(const int8_t *x, int8_t *y, void *scratch)
{
    int8_t *const window = scratch;
    window[18] = window[19] = 0;
    net_copy(window, x, 18);
    net_k4_block(window, y);
}

/* Layer 5: argmax_5 (argmax), from ONNX /argmax_5/Node.
   int8_t [4], -128..127 -> uint8_t [], 0..3
   axis 0. */
static void net_k5_argmax(const int8_t *x, uint8_t *y)
{
    size_t i, j;
    for (i = 0; i < 1; i++) {
        const int8_t *const line = x;
        size_t best = 0;
        for (j = 1; j < 4; j++) /* strictly greater: the lowest index wins a tie */
            if (net_greater_int8_t(line[j], line[best]))
                best = j;
        y[i] = (uint8_t)best;
    }
}

/* image [2, 6, 5] */
static void net_pack0(const int8_t *from, int8_t *to)
{
    size_t i, j;
    for (i = 0; i < 30; i++)
        for (j = 0; j < 2; j++)
            *to++ = from[i + j * 30];
}

void net_run_arena(const net_in_t *in, net_out_t *out, void *arena)
{
    uint8_t *const bytes = arena;
    int8_t *const t0 = (int8_t *)(void *)(bytes + 92); /* image */
    int8_t *const t1 = (int8_t *)(void *)bytes; /* t1 */
    int8_t *const t2 = (int8_t *)(void *)(bytes + 92); /* t2 */
    int8_t *const t3 = (int8_t *)(void *)bytes; /* t3 */

    net_pack0(in->image, t0);
    net_TAP(0, t0, 60); /* image */
    net_k0_conv2d(t0, t1, bytes + 152);
    net_TAP(1, t1, 90); /* t1 */
    net_k1_maxpool2d(t1, t2);
    net_TAP(2, t2, 18); /* t2 */
    net_k2_requantize_all(t2, t3);
    net_TAP(3, t3, 18); /* t3 */
    net_TAP(4, t3, 18); /* t4 */
    net_k4_dense(t3, out->scores, bytes + 20);
    net_TAP(5, out->scores, 4); /* scores */
    net_k5_argmax(out->scores, out->class_t);
    net_TAP(6, out->class_t, 1); /* class */
}
