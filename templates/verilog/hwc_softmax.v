// hwc_softmax: shares of the exponentials of N values in their sum, one value per beat.
//
// d = largest - x;  e = 2**(TW-1) * exp(-d * scale) from a ROM, or from two: coarse[d >> SPLIT] * fine[d mod 2**SPLIT];
// y = clamp(e * 2**F / (sum of e) + ZERO, LO, HI), rounded half to even. Takes one beat per cycle, frames back to back.
// Holds two frames of x and two of e. Latency from a frame's last beat: N + F + 7 cycles, 4 more with two ROMs.
`default_nettype none

module hwc_softmax #(
    parameter         EW        = 8,    // bits of x
    parameter         IS_SIGNED = 1,    // 1: x is two's complement, 0: unsigned
    parameter         N         = 2,    // values per frame
    parameter         MOST      = 255,  // larger distances are taken as this one
    parameter         SPLIT     = 0,    // 0: one ROM of MOST + 1 words; else (MOST >> SPLIT) + 1 and 2**SPLIT words
    parameter         TW        = 23,   // bits per ROM word
    parameter         SW        = 24,   // bits of the sum; at least TW
    parameter         F         = 8,    // fraction bits of the output
    parameter integer ZERO      = 0,    // added after rounding
    parameter integer LO        = 0,    // lowest output
    parameter integer HI        = 127,  // highest output
    parameter         OUT_W     = 8,    // bits of y
    parameter         EXP_FILE  = "",   // the ROM, or the coarse one
    parameter         FINE_FILE = ""    // the fine one
) (
    input  wire             clk_i,
    input  wire             rst_ni,
    input  wire             s_valid_i,
    output wire             s_ready_o,
    input  wire [   EW-1:0] s_data_i,
    output wire             m_valid_o,
    input  wire             m_ready_i,
    output wire [OUT_W-1:0] m_data_o
);

  localparam integer WORDS = (MOST >> SPLIT) + 1;
  localparam integer AW = (WORDS > 1) ? $clog2(WORDS) : 1;
  localparam integer LAT_E = (SPLIT != 0) ? 5 : 1;
  localparam integer LAT_Y = F + 3;

  generate
    if (EW < 1 || N < 1 || MOST < 0 || MOST >> EW != 0 || SPLIT < 0 || SPLIT >= EW || TW < 2 || SW < TW) begin : g_check
      hwc_error_softmax_needs_most_below_two_to_ew_split_below_ew_and_sw_ge_tw u_error ();
    end
  endgenerate

  // The largest of the frame.
  wire [EW-1:0] larger, x, largest, d;
  wire          x_first, x_valid, x_ready;
  reg  [EW-1:0] most_q;
  wire [EW-1:0] most = x_first ? s_data_i : larger;

  hwc_max #(.LANES(1), .EW(EW), .IS_SIGNED(IS_SIGNED)) u_max (.a_i(most_q), .b_i(s_data_i), .y_o(larger));
  always @(posedge clk_i) if (s_valid_i && s_ready_o) most_q <= most;
  hwc_hold #(.DW(EW), .FW(EW), .N(N)) u_x (
      .clk_i(clk_i), .rst_ni(rst_ni), .s_valid_i(s_valid_i), .s_ready_o(s_ready_o), .s_data_i(s_data_i),
      .s_fold_i(most), .s_first_o(x_first), .m_valid_o(x_valid), .m_ready_i(x_ready), .m_data_o(x), .m_fold_o(largest)
  );

  // Exponentials.
  reg  [LAT_E:1] e_valid_q;
  wire [ TW-1:0] e, coarse;
  wire           e_first, e_ready;
  wire           unused_high = ^d;
  assign x_ready = !e_valid_q[LAT_E] || e_ready;

  hwc_gap #(.EW(EW), .MOST(MOST)) u_gap (.a_i(largest), .b_i(x), .y_o(d));
  hwc_rom #(.W(TW), .DEPTH(WORDS), .AW(AW), .MEM_FILE(EXP_FILE)) u_exp (
      .clk_i(clk_i), .en_i(x_ready), .addr_i(d[SPLIT +: AW]), .data_o(coarse)
  );
  generate
    if (SPLIT != 0) begin : g_two
      wire [TW-1:0] fine;
      hwc_rom #(.W(TW), .DEPTH(1 << SPLIT), .AW(SPLIT), .MEM_FILE(FINE_FILE)) u_fine (
          .clk_i(clk_i), .en_i(x_ready), .addr_i(d[SPLIT-1:0]), .data_o(fine)
      );
      hwc_requant_lane #(
          .ACC_W(TW + 1), .MW(TW), .CW(1), .SHIFT(TW - 1), .LO(0), .HI(1 << (TW - 1)), .OUT_W(TW)
      ) u_product (
          .clk_i(clk_i), .en_i(x_ready), .a_i({1'b0, coarse}), .m_i(fine), .c_i(1'b0), .y_o(e)
      );
      always @(posedge clk_i) begin
        if (!rst_ni) e_valid_q <= {LAT_E{1'b0}};
        else if (x_ready) e_valid_q <= {e_valid_q[LAT_E-1:1], x_valid};
      end
    end else begin : g_one
      assign e = coarse;
      always @(posedge clk_i) begin
        if (!rst_ni) e_valid_q <= 1'b0;
        else if (x_ready) e_valid_q <= x_valid;
      end
    end
  endgenerate

  // Their sum, and the shares in it.
  wire [SW-1:0]  sum, total;
  reg  [SW-1:0]  sum_q;
  wire [TW-1:0]  part;
  wire           part_valid;
  reg  [LAT_Y:1] y_valid_q;
  wire           y_en = !y_valid_q[LAT_Y] || m_ready_i;

  hwc_sum #(.LANES(1), .XW(TW), .X_SIGNED(0), .ACC_W(SW)) u_sum (
      .acc_i(e_first ? {SW{1'b0}} : sum_q), .x_i(e), .sum_o(sum)
  );
  always @(posedge clk_i) if (e_valid_q[LAT_E] && e_ready) sum_q <= sum;
  hwc_hold #(.DW(TW), .FW(SW), .N(N)) u_e (
      .clk_i(clk_i), .rst_ni(rst_ni), .s_valid_i(e_valid_q[LAT_E]), .s_ready_o(e_ready), .s_data_i(e),
      .s_fold_i(sum), .s_first_o(e_first), .m_valid_o(part_valid), .m_ready_i(y_en), .m_data_o(part), .m_fold_o(total)
  );
  hwc_share #(.TW(TW), .SW(SW), .F(F), .ZERO(ZERO), .LO(LO), .HI(HI), .OUT_W(OUT_W)) u_share (
      .clk_i(clk_i), .en_i(y_en), .part_i(part), .sum_i(total), .y_o(m_data_o)
  );
  always @(posedge clk_i) begin
    if (!rst_ni) y_valid_q <= {LAT_Y{1'b0}};
    else if (y_en) y_valid_q <= {y_valid_q[LAT_Y-1:1], part_valid};
  end

  assign m_valid_o = y_valid_q[LAT_Y];
endmodule

`default_nettype wire
