// hwc_add: adds two streams beat by beat and requantizes the sums; all constants are wires.
//
// FORM 0 (rne):    y = clamp(rshift_rne(a * MA + b * MB + K, SHIFT) + ZERO, LO, HI)
// FORM 1 (affine): y = clamp((a * MA + b * MB + K) >> SHIFT, LO, HI); K holds rounding and zero point
// MA and MB may be negative: differences and averages too. One beat per cycle, latency 5 cycles. a_ready_o depends on
// b_valid_i and the other way round: each input needs a FIFO in front. Does not broadcast one input over the other.
`default_nettype none

module hwc_add #(
    parameter          LANES    = 1,           // lanes per beat
    parameter          A_W      = 8,           // bits per lane of a
    parameter          A_SIGNED = 1,           // 1: a is two's complement, 0: unsigned
    parameter          B_W      = 8,           // bits per lane of b
    parameter          B_SIGNED = 1,           // 1: b is two's complement, 0: unsigned
    parameter          MW       = 2,           // bits of MA and MB (two's complement), 2..32
    parameter integer  MA       = 1,           // factor of a
    parameter integer  MB       = 1,           // factor of b
    parameter          KW       = 1,           // bits of K
    parameter [KW-1:0] K        = {KW{1'b0}},  // added before the shift, two's complement
    parameter          SHIFT    = 0,           // right shift, 0..62
    parameter          FORM     = 0,           // 0: rne, 1: affine
    parameter integer  ZERO     = 0,           // rne: zero point, added after rounding
    parameter integer  LO       = -128,        // lowest output
    parameter integer  HI       = 127,         // highest output
    parameter          OUT_W    = 8            // bits per output lane, at most 30
) (
    input  wire                   clk_i,
    input  wire                   rst_ni,
    input  wire                   a_valid_i,
    output wire                   a_ready_o,
    input  wire [  LANES*A_W-1:0] a_data_i,
    input  wire                   b_valid_i,
    output wire                   b_ready_o,
    input  wire [  LANES*B_W-1:0] b_data_i,
    output wire                   m_valid_o,
    input  wire                   m_ready_i,
    output wire [LANES*OUT_W-1:0] m_data_o
);

  localparam integer LAT = 5;  // of hwc_add_lane

  reg  [LAT:1] valid_q;
  wire         en = !valid_q[LAT] || m_ready_i;

  always @(posedge clk_i) begin
    if (!rst_ni) valid_q <= {LAT{1'b0}};
    else if (en) valid_q <= {valid_q[LAT-1:1], a_valid_i && b_valid_i};
  end

  genvar i;
  generate
    for (i = 0; i < LANES; i = i + 1) begin : g_lane
      hwc_add_lane #(
          .A_W(A_W), .A_SIGNED(A_SIGNED), .B_W(B_W), .B_SIGNED(B_SIGNED), .MW(MW), .MA(MA), .MB(MB), .KW(KW), .K(K),
          .SHIFT(SHIFT), .FORM(FORM), .ZERO(ZERO), .LO(LO), .HI(HI), .OUT_W(OUT_W)
      ) u_lane (
          .clk_i(clk_i), .en_i(en), .a_i(a_data_i[i*A_W +: A_W]), .b_i(b_data_i[i*B_W +: B_W]),
          .y_o(m_data_o[i*OUT_W +: OUT_W])
      );
    end
  endgenerate

  assign a_ready_o = en && b_valid_i;
  assign b_ready_o = en && a_valid_i;
  assign m_valid_o = valid_q[LAT];

endmodule

`default_nettype wire
