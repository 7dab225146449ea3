// Dot products: PE outputs at a time from LANES inputs a beat, CHUNKS beats for each of GROUPS groups of outputs.
#ifndef HWC_DENSE_H
#define HWC_DENSE_H
#include "hwc_prim_dot.h"

#pragma hls_design
template <class X, int LANES, int PE, int ACC, int WW, int GROUPS, int CHUNKS, int ROUNDS, class W, class B>
void hwc_dense(hwc_stream<hwc_beat<X, LANES> > &s, hwc_stream<hwc_beat<hwc_int<ACC, true>, PE> > &m,
               const W weight[GROUPS * CHUNKS][PE * LANES], const B bias[GROUPS][PE]) {
  hwc_int<ACC, true> acc[PE];
  for (int round = 0; round < ROUNDS; round++) {
    for (int group = 0; group < GROUPS; group++) {
      #pragma hls_pipeline_init_interval 1
      for (int chunk = 0; chunk < CHUNKS; chunk++) {
        const hwc_beat<X, LANES> in = s.read();
        hwc_beat<hwc_int<ACC, true>, PE> out;
        #pragma hls_unroll yes
        for (int pe = 0; pe < PE; pe++) {
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
