// Dot products: PE outputs at a time from LANES inputs a beat, CHUNKS beats for each of GROUPS groups of outputs.
#ifndef HWC_DENSE_H
#define HWC_DENSE_H
#include "hwc_prim_dot.h"


template <class X, int LANES, int PE, int ACC, int WW, int GROUPS, int CHUNKS, int ROUNDS, class W, class B>
void hwc_dense(hwc_stream<hwc_beat<X, LANES> > &s, hwc_stream<hwc_beat<hwc_int<ACC, true>, PE> > &m,
               const W weight[GROUPS * CHUNKS][PE * LANES], const B bias[GROUPS][PE]) {
  #pragma HLS ARRAY_RESHAPE variable=weight complete dim=2
  #pragma HLS ARRAY_RESHAPE variable=bias complete dim=2
  hwc_int<ACC, true> acc[PE];
  #pragma HLS ARRAY_PARTITION variable=acc complete dim=0
  for (int round = 0; round < ROUNDS; round++) {
    for (int group = 0; group < GROUPS; group++) {
      for (int chunk = 0; chunk < CHUNKS; chunk++) {
      #pragma HLS PIPELINE II=1
        const hwc_beat<X, LANES> in = s.read();
        #pragma HLS AGGREGATE variable=in compact=bit
        hwc_beat<hwc_int<ACC, true>, PE> out;
        #pragma HLS AGGREGATE variable=out compact=bit
        for (int pe = 0; pe < PE; pe++) {
        #pragma HLS UNROLL
          const hwc_int<ACC, true> before = chunk == 0 ? hwc_int<ACC, true>(bias[group][pe]) : acc[pe];
          acc[pe] = hwc_sum<ACC>(before, hwc_dot<ACC, WW, LANES, 1, PE * LANES>(in.lane, 0, weight, group * CHUNKS + chunk, pe * LANES));
          out.lane[pe] = acc[pe];
        }
        if (chunk == CHUNKS - 1) m.write(out);
      }
    }
  }
}

#endif
