// hwc_lut: table look-up per lane, for any unary function of few bits.
//
// All lanes share the table's file (2**EW words of OUT_W bits in hex, one a line, word i for the lane with bit
// pattern i) and have a copy of it each. One beat per cycle, latency 1 cycle.
`default_nettype none

module hwc_lut #(
    parameter LANES    = 1,  // lanes per beat
    parameter EW       = 8,  // bits per input lane
    parameter OUT_W    = 8,  // bits per output lane
    parameter MEM_FILE = ""  // the table
) (
    input  wire                   clk_i,
    input  wire                   rst_ni,
    input  wire                   s_valid_i,
    output wire                   s_ready_o,
    input  wire [   LANES*EW-1:0] s_data_i,
    output wire                   m_valid_o,
    input  wire                   m_ready_i,
    output wire [LANES*OUT_W-1:0] m_data_o
);

  reg  valid_q;
  wire en = !valid_q || m_ready_i;

  always @(posedge clk_i) begin
    if (!rst_ni) valid_q <= 1'b0;
    else if (en) valid_q <= s_valid_i;
  end

  genvar i;
  generate
    if (LANES < 1 || EW < 1 || EW > 16) begin : g_check
      hwc_error_lut_needs_lanes_ge_1_and_ew_1_to_16 u_error ();
    end
    for (i = 0; i < LANES; i = i + 1) begin : g_lane
      hwc_rom #(.W(OUT_W), .DEPTH(1 << EW), .AW(EW), .MEM_FILE(MEM_FILE)) u_rom (
          .clk_i(clk_i), .en_i(en && s_valid_i), .addr_i(s_data_i[i*EW +: EW]), .data_o(m_data_o[i*OUT_W +: OUT_W])
      );
    end
  endgenerate

  assign s_ready_o = en;
  assign m_valid_o = valid_q;

endmodule

`default_nettype wire
