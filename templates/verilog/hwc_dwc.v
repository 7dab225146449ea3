// hwc_dwc: depthwise engine with weights in ROM: each lane sums over the taps of its own channel.
//
// A beat is P taps of LANES channels, lane index tap*LANES + channel (hwc_window with SETS = G). For each group
// 0..GROUPS-1 of channels it takes CHUNKS beats and gives LANES sums, each of ACC_W bits (two's complement): bias + sum
// over chunks and taps of x * w. Then around again. ACC_W must hold the final sum; what overflows on the way wraps and
// does no harm. One beat per cycle, also for CHUNKS = 1. Latency from the last beat of a group: 3 + floor(clog2(P)/2)
// cycles. Does not repeat its input: for R outputs per channel hwc_window gives each group R times (REP = R), and
// groups r, R + r, .. are the r-th outputs.
// Weight ROM: GROUPS*CHUNKS words, address group*CHUNKS + chunk, weight of (tap, channel) at bits
// [(tap*LANES+channel)*WW]; with CODE_W weights are indices (hwc_operands). Bias ROM: GROUPS words, bias of a channel
// at bits [channel*ACC_W].
`default_nettype none

module hwc_dwc #(
    parameter LANES     = 1,   // channels per beat
    parameter P         = 1,   // taps per beat
    parameter XW        = 8,   // bits per input lane
    parameter X_SIGNED  = 1,   // 1: inputs are two's complement, 0: unsigned
    parameter X_BIPOLAR = 0,   // 1: inputs are one bit, -1 or +1
    parameter WW        = 8,   // bits per weight
    parameter W_KIND    = 0,   // how weights are held, see hwc_product
    parameter ACC_W     = 32,  // bits per sum and bias
    parameter SIGN      = 0,   // 1: gives one bit per sum: it is not negative
    parameter DOUBLE    = 0,   // 1: adds twice what the lanes give
    parameter GROUPS    = 1,   // groups of channels
    parameter CHUNKS    = 1,   // beats per group
    parameter ZONES     = 1,   // sets of biases: several where they depend on the place, see hwc_engine
    parameter ROWS      = 1,   // rows of pixels
    parameter COLS      = 1,   // columns of pixels
    parameter [ROWS*32-1:0] ROW_AT = {ROWS*32{1'b0}},  // where the biases of each row are
    parameter [COLS*32-1:0] COL_AT = {COLS*32{1'b0}},  // .. of each column, from there
    parameter MOST      = 5,   // of hwc_agree
    parameter CODE_W    = 0,   // bits per index of a weight; 0: no indices
    parameter [(WW<<CODE_W)-1:0] TABLE = {(WW<<CODE_W){1'b0}},  // the weights that they mean
    parameter W_STYLE   = 0,   // memory of the weights, see hwc_rom
    parameter W_FILE    = "",  // weight ROM, hex
    parameter B_FILE    = "",  // bias ROM, hex
    parameter X_FILE    = ""   // which lanes count: CHUNKS words of a bit each, hex; none: all do
) (
    input  wire                   clk_i,
    input  wire                   rst_ni,
    input  wire                   s_valid_i,
    output wire                   s_ready_o,
    input  wire [ P*LANES*XW-1:0] s_data_i,
    output wire                   m_valid_o,
    input  wire                   m_ready_i,
    output wire [LANES*((SIGN != 0) ? 1 : ACC_W)-1:0] m_data_o
);

  localparam integer WORDS = GROUPS * CHUNKS;
  localparam integer STARTS = ZONES * GROUPS;
  localparam integer GW = (STARTS > 1) ? $clog2(STARTS) : 1;
  localparam integer OW = (SIGN != 0) ? 1 : ACC_W;  // bits per output
  localparam integer WAW = (WORDS > 1) ? $clog2(WORDS) : 1;
  localparam AGREE = X_BIPOLAR != 0 && W_KIND == 1;
  localparam integer T = (P + 2) / 3;
  localparam integer STEPS = !AGREE ? 0 : (T / 12 < MOST) ? T / 12 : MOST;
  localparam integer TERMS = AGREE ? (T + 6 * STEPS + 2) / (6 * STEPS + 2) : P;
  localparam integer LAT = 1 + (STEPS + $clog2(TERMS)) / 2;  // of hwc_dot

  wire [ P*LANES*XW-1:0] x;
  wire [ P*LANES*WW-1:0] w;
  wire [LANES*ACC_W-1:0] bias;
  wire [        WAW-1:0] waddr;
  wire [         GW-1:0] baddr;
  wire                   en, take, unused_last, load, add, first;

  hwc_engine #(
      .GROUPS(GROUPS), .CHUNKS(CHUNKS), .LAT(LAT), .WAW(WAW), .GW(GW), .ROWS(ROWS), .COLS(COLS), .ROW_AT(ROW_AT),
      .COL_AT(COL_AT)
  ) u_engine (
      .clk_i(clk_i), .rst_ni(rst_ni), .s_valid_i(s_valid_i), .s_ready_o(s_ready_o), .m_valid_o(m_valid_o),
      .m_ready_i(m_ready_i), .en_o(en), .take_o(take), .waddr_o(waddr), .last_o(unused_last), .load_o(load),
      .baddr_o(baddr), .add_o(add), .first_o(first)
  );
  hwc_operands #(
      .SIMD(P * LANES), .XW(XW), .WW(WW), .CODE_W(CODE_W), .TABLE(TABLE), .DEPTH(WORDS), .AW(WAW), .CHUNKS(CHUNKS),
      .W_STYLE(W_STYLE), .W_FILE(W_FILE), .X_FILE(X_FILE)
  ) u_operands (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(en), .take_i(take), .addr_i(waddr), .data_i(s_data_i), .x_o(x), .w_o(w)
  );
  hwc_rom #(.W(LANES * ACC_W), .DEPTH(STARTS), .AW(GW), .MEM_FILE(B_FILE)) u_bias (
      .clk_i(clk_i), .en_i(load), .addr_i(baddr), .data_o(bias)
  );

  genvar i, t;
  generate
    if (LANES < 1 || P < 1 || XW < 1 || WW < 1 || ACC_W < 2 || GROUPS < 1 || CHUNKS < 1) begin : g_check
      hwc_error_dwc_sizes_must_be_ge_1 u_error ();
    end
    for (i = 0; i < LANES; i = i + 1) begin : g_lane
      wire [ P*XW-1:0] x_lane;
      wire [ P*WW-1:0] w_lane;
      wire [ACC_W-1:0] dot, sum;
      wire [ACC_W:0]   twice = {dot, 1'b0};
      wire             unused_top = ^{twice, sum};
      for (t = 0; t < P; t = t + 1) begin : g_tap
        assign x_lane[t*XW +: XW] = x[(t*LANES+i)*XW +: XW];
        assign w_lane[t*WW +: WW] = w[(t*LANES+i)*WW +: WW];
      end
      hwc_dot #(
          .SIMD(P), .XW(XW), .X_SIGNED(X_SIGNED), .X_BIPOLAR(X_BIPOLAR), .WW(WW), .W_KIND(W_KIND),
          .MOST(MOST), .OW(ACC_W)
      ) u_dot (.clk_i(clk_i), .en_i(en), .x_i(x_lane), .w_i(w_lane), .y_o(dot));
      hwc_accum #(.W(ACC_W)) u_accum (
          .clk_i(clk_i), .en_i(add), .first_i(first), .start_i(bias[i*ACC_W +: ACC_W]),
          .add_i((DOUBLE != 0) ? twice[ACC_W-1:0] : dot), .sum_o(sum)
      );
      if (SIGN != 0) begin : g_sign
        hwc_sign #(.LANES(1), .W(ACC_W)) u_sign (.data_i(sum), .data_o(m_data_o[i]));
      end else begin : g_sum
        assign m_data_o[i*OW +: OW] = sum;
      end
    end
  endgenerate

endmodule

`default_nettype wire
