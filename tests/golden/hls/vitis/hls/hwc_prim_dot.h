// Sums of products and sums, exact: ACC bits hold every partial sum in any order.
#ifndef HWC_PRIM_DOT_H
#define HWC_PRIM_DOT_H
#include "hwc_types.h"

// Sum of x[x0 + i * STEP] * w[row][w0 + i * STEP] over i < COUNT; weights of WW bits.
template <int ACC, int WW, int COUNT, int STEP, int LANES, class X, class W>
hwc_int<ACC, true> hwc_dot(const X x[], int x0, const W w[][LANES], int row, int w0) {
  #pragma HLS INLINE
  hwc_int<ACC, true> sum = 0;
  for (int i = 0; i < COUNT; i++) {
  #pragma HLS UNROLL
    sum += x[x0 + i * STEP] * hwc_int<WW, true>(w[row][w0 + i * STEP]);
  }
  return sum;
}

template <int ACC, class A, class B> hwc_int<ACC, true> hwc_sum(A a, B b) {
  #pragma HLS INLINE
  return hwc_int<ACC, true>(a + b);
}

#endif
