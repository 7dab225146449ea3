// hwc_round: rounds, shifts and clamps one value: y_o = clamp(round(x_i / 2**SHIFT) + ZERO, LO, HI).
//
// RNE 1 rounds half to even, RNE 0 down. Two registers with en_i: shift, clamp. No step overflows. The clamp compares
// before ZERO is added, with limits moved by ZERO, which is the same and keeps the last adder OUT_W bits wide.
`default_nettype none

module hwc_round #(
    parameter         IN_W  = 32,    // bits of x (two's complement)
    parameter         SHIFT = 0,     // right shift, 0..62
    parameter         RNE   = 1,     // 1: half to even, 0: down
    parameter integer ZERO  = 0,     // added after rounding
    parameter integer LO    = -128,  // lowest output
    parameter integer HI    = 127,   // highest output
    parameter         OUT_W = 8      // bits of the output, at most 30
) (
    input  wire             clk_i,
    input  wire             en_i,
    input  wire [ IN_W-1:0] x_i,
    output wire [OUT_W-1:0] y_o
);

  localparam HALF = RNE != 0 && SHIFT != 0;
  localparam integer RW = ((IN_W > SHIFT + 1) ? IN_W : SHIFT + 1) + (HALF ? 1 : 0);  // bits before the shift
  localparam integer QW = RW - SHIFT;                                                // .. after it
  localparam integer KW = (QW > OUT_W + 3) ? QW : OUT_W + 3;                         // .. of the clamp's comparison
  localparam integer LOW = LO - ZERO;
  localparam integer HIGH = HI - ZERO;
  localparam [KW+31:0] LOW_K = {{KW{LOW[31]}}, LOW[31:0]};
  localparam [KW+31:0] HIGH_K = {{KW{HIGH[31]}}, HIGH[31:0]};
  localparam [RW-1:0] ONE = {{RW - 1{1'b0}}, 1'b1};

  wire [RW-1:0]    x;  // x_i, extended
  wire [RW-1:0]    t;  // to be shifted
  wire [KW-1:0]    k;
  reg  [QW-1:0]    q_q;
  reg  [OUT_W-1:0] y_q;
  wire             unused_low = ^t;

  generate
    if (IN_W < 1 || SHIFT < 0 || SHIFT > 62 || OUT_W < 1 || OUT_W > 30 || LO > HI || LO < -(1 << OUT_W)
        || HI > (1 << OUT_W) || ZERO < -(1 << OUT_W) || ZERO > (1 << OUT_W)) begin : g_check
      hwc_error_round_needs_shift_0_to_62_and_limits_within_out_w u_error ();
    end
    if (RW > IN_W) begin : g_sign
      assign x[RW-1:IN_W] = {RW - IN_W{x_i[IN_W-1]}};
    end
    if (HALF) begin : g_half
      // just below one half, and a bit more if the result would be odd
      assign t = x + ((ONE << (SHIFT - 1)) - ONE) + {{RW - 1{1'b0}}, x[SHIFT]};
    end else begin : g_floor
      assign t = x;
    end
    if (KW > QW) begin : g_wide
      assign k[KW-1:QW] = {KW - QW{q_q[QW-1]}};
    end
  endgenerate
  assign x[IN_W-1:0] = x_i;
  assign k[QW-1:0] = q_q;

  wire below = $signed(k) < $signed(LOW_K[KW-1:0]);
  wire above = $signed(k) > $signed(HIGH_K[KW-1:0]);

  always @(posedge clk_i) begin
    if (en_i) begin
      q_q <= t[RW-1:SHIFT];
      y_q <= below ? LO[OUT_W-1:0] : above ? HI[OUT_W-1:0] : k[OUT_W-1:0] + ZERO[OUT_W-1:0];
    end
  end

  assign y_o = y_q;

endmodule

`default_nettype wire
