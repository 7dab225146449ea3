// Integers of any width, streams, and a beat: the lanes that travel together.
#ifndef HWC_TYPES_H
#define HWC_TYPES_H

#include <stdint.h>
#include <ap_int.h>
#include <hls_stream.h>

template <int W, bool S> struct hwc_integer;
template <int W> struct hwc_integer<W, true> { typedef ap_int<W> type; };
template <int W> struct hwc_integer<W, false> { typedef ap_uint<W> type; };
template <int W, bool S> using hwc_int = typename hwc_integer<W, S>::type;
template <class T> using hwc_stream = hls::stream<T>;

// A beat of AXI4-Stream with TLAST: Vitis' own type where its header is found.
#if defined(__SYNTHESIS__) || __has_include(<ap_axi_sdata.h>)
#include <ap_axi_sdata.h>
template <int W> using hwc_packet = ap_axiu<W, 0, 0, 0>;
#else
template <int W> struct hwc_packet {
  ap_uint<W> data;
  ap_uint<W / 8> keep, strb;
  ap_uint<1> last;
};
#endif

template <int W> void hwc_whole(hwc_packet<W> &p) {
  p.keep = -1;
  p.strb = -1;
}

// The bits of a lane, at bit `at` of a word.
template <class T, int B, int W> T hwc_lane(const ap_uint<W> &word, int at) { return T(word.range(at + B - 1, at)); }
template <class T, int B, int W> void hwc_set_lane(ap_uint<W> &word, int at, T value) { word.range(at + B - 1, at) = ap_uint<B>(value); }

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
