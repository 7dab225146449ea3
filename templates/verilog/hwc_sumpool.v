// hwc_sumpool: sums over the taps of a window, channel by channel.
//
// A beat is P taps of LANES channels, lane index tap*LANES + channel (hwc_window with SETS = G). Of every
// ceil(TAPS/P) beats it gives one of LANES sums, each of ACC_W bits (two's complement): START + sum over taps; tap
// lanes beyond the last tap are ignored. ACC_W must hold the final sum. One beat per cycle, latency from the last beat
// of a sum: 3 + floor(clog2(P)/2) cycles. Does not divide, and counts padding like any other pixel.
`default_nettype none

module hwc_sumpool #(
    parameter             LANES    = 1,               // channels per beat
    parameter             P        = 1,               // taps per beat
    parameter             XW       = 8,               // bits per input lane
    parameter             X_SIGNED = 1,               // 1: inputs are two's complement, 0: unsigned
    parameter             ACC_W    = 32,              // bits per sum
    parameter             TAPS     = 1,               // taps of a window: KH*KW
    parameter [ACC_W-1:0] START    = {ACC_W{1'b0}}    // added to every sum
) (
    input  wire                   clk_i,
    input  wire                   rst_ni,
    input  wire                   s_valid_i,
    output wire                   s_ready_o,
    input  wire [ P*LANES*XW-1:0] s_data_i,
    output wire                   m_valid_o,
    input  wire                   m_ready_i,
    output wire [LANES*ACC_W-1:0] m_data_o
);

  localparam integer CHUNKS = (TAPS + P - 1) / P;
  localparam integer REST = TAPS - (CHUNKS - 1) * P;  // taps of the last beat
  localparam integer CW = (CHUNKS > 1) ? $clog2(CHUNKS) : 1;
  localparam integer LAT = 1 + $clog2(P) / 2;  // of hwc_dot

  generate
    if (LANES < 1 || P < 1 || XW < 1 || ACC_W < 2 || TAPS < 1) begin : g_check
      hwc_error_sumpool_sizes_must_be_ge_1 u_error ();
    end
  endgenerate

  reg  [P*LANES*XW-1:0] x_q;
  wire [        CW-1:0] unused_waddr;
  wire [           0:0] unused_baddr;
  wire                  en, take, last, unused_load, add, first;

  hwc_engine #(.GROUPS(1), .CHUNKS(CHUNKS), .LAT(LAT), .WAW(CW), .GW(1)) u_engine (
      .clk_i(clk_i), .rst_ni(rst_ni), .s_valid_i(s_valid_i), .s_ready_o(s_ready_o), .m_valid_o(m_valid_o),
      .m_ready_i(m_ready_i), .en_o(en), .take_o(take), .waddr_o(unused_waddr), .last_o(last), .load_o(unused_load),
      .baddr_o(unused_baddr), .add_o(add), .first_o(first)
  );

  always @(posedge clk_i) if (take) x_q <= s_data_i;

  genvar i, t;
  generate
    for (i = 0; i < LANES; i = i + 1) begin : g_lane
      wire [ P*XW-1:0] x_lane;
      wire [ACC_W-1:0] dot;
      for (t = 0; t < P; t = t + 1) begin : g_tap
        wire in_use = (t < REST) || !last;
        assign x_lane[t*XW +: XW] = in_use ? x_q[(t*LANES+i)*XW +: XW] : {XW{1'b0}};
      end
      hwc_dot #(.SIMD(P), .XW(XW), .X_SIGNED(X_SIGNED), .WW(1), .ONES(1), .OW(ACC_W)) u_dot (
          .clk_i(clk_i), .en_i(en), .x_i(x_lane), .w_i({P{1'b0}}), .y_o(dot)
      );
      hwc_accum #(.W(ACC_W)) u_accum (
          .clk_i(clk_i), .en_i(add), .first_i(first), .start_i(START), .add_i(dot),
          .sum_o(m_data_o[i*ACC_W +: ACC_W])
      );
    end
  endgenerate

endmodule

`default_nettype wire
