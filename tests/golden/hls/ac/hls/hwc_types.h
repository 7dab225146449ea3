// Integers of any width, streams, and a beat: the lanes that travel together.
#ifndef HWC_TYPES_H
#define HWC_TYPES_H

#include <stdint.h>
#include <ac_channel.h>
#include <ac_int.h>

template <int W, bool S> using hwc_int = ac_int<W, S>;
template <class T> using hwc_stream = ac_channel<T>;

// A beat of AXI4-Stream with TLAST.
template <int W> struct hwc_packet {
  ac_int<W, false> data;
  ac_int<W / 8, false> keep, strb;
  ac_int<1, false> last;
};

template <int W> void hwc_whole(hwc_packet<W> &p) {
  p.keep = -1;
  p.strb = -1;
}

// The bits of a lane, at bit `at` of a word.
template <class T, int B, int W> T hwc_lane(const ac_int<W, false> &word, int at) { return T(word.template slc<B>(at)); }
template <class T, int B, int W> void hwc_set_lane(ac_int<W, false> &word, int at, T value) { word.set_slc(at, ac_int<B, false>(value)); }

template <class T, int LANES> struct hwc_beat {
  T lane[LANES];
};

// Constants: exact widths for synthesis; native integers for the compiler, which would construct each element otherwise.
#ifdef __SYNTHESIS__
#define HWC_ROM(bits, is_signed, native) hwc_int<bits, is_signed>
#else
#define HWC_ROM(bits, is_signed, native) native
#endif

constexpr int hwc_widest(int a, int b) { return a > b ? a : b; }

#endif
