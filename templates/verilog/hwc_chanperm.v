// hwc_chanperm: gives the channels of every pixel out in another order.
//
// Output channel i is input channel s(i). If a beat holds all channels (LANES = C) these are wires, s(i) is ORDER[i].
// Else s comes from a ROM file of C/LANES words, as hwc_permute takes it: word b holds for each lane l the place of
// s(b*LANES + l), its beat and above that its lane, lane 0 at the bottom. One beat per cycle, latency from the last
// beat of a pixel: 4 cycles. Channels may be repeated or left out, but their number stays.
`default_nettype none

module hwc_chanperm #(
    parameter                EW       = 8,               // bits per lane
    parameter                LANES    = 1,               // lanes per beat; a divisor of C
    parameter                C        = 1,               // channels
    parameter [LANES*16-1:0] ORDER    = {LANES{16'd0}},  // LANES = C: s, 16 bits each, s(0) at the bottom
    parameter                MEM_FILE = ""               // LANES < C: s, hex
) (
    input  wire                clk_i,
    input  wire                rst_ni,
    input  wire                s_valid_i,
    output wire                s_ready_o,
    input  wire [LANES*EW-1:0] s_data_i,
    output wire                m_valid_o,
    input  wire                m_ready_i,
    output wire [LANES*EW-1:0] m_data_o
);

  genvar i;
  generate
    if (EW < 1 || LANES < 1 || C < LANES || C % LANES != 0) begin : g_check
      hwc_error_chanperm_needs_lanes_that_divide_c u_error ();
    end
    if (LANES == C) begin : g_wires
      wire unused = &{1'b0, clk_i, rst_ni, s_data_i};
      for (i = 0; i < LANES; i = i + 1) begin : g_lane
        localparam integer PICK = {16'd0, ORDER[i*16 +: 16]};
        if (PICK >= C) begin : g_check
          hwc_error_chanperm_order_must_be_below_c u_error ();
        end
        assign m_data_o[i*EW +: EW] = s_data_i[PICK*EW +: EW];
      end
      assign m_valid_o = s_valid_i;
      assign s_ready_o = m_ready_i;
    end else begin : g_permute
      hwc_permute #(.DW(EW), .LANES(LANES), .N(C / LANES), .MEM_FILE(MEM_FILE)) u_permute (
          .clk_i(clk_i), .rst_ni(rst_ni), .s_valid_i(s_valid_i), .s_ready_o(s_ready_o), .s_data_i(s_data_i),
          .m_valid_o(m_valid_o), .m_ready_i(m_ready_i), .m_data_o(m_data_o)
      );
    end
  endgenerate

endmodule

`default_nettype wire
