// hwc_repeat: every beat N times; it waits for the last of them where it is. Wires and a counter, no latency.
`default_nettype none

module hwc_repeat #(
    parameter W = 8,  // bits per beat
    parameter N = 2   // how often
) (
    input  wire         clk_i,
    input  wire         rst_ni,
    input  wire         s_valid_i,
    output wire         s_ready_o,
    input  wire [W-1:0] s_data_i,
    output wire         m_valid_o,
    input  wire         m_ready_i,
    output wire [W-1:0] m_data_o
);

  localparam integer NW = (N > 1) ? $clog2(N) : 1;

  wire [NW-1:0] unused_turn;
  wire          last;

  generate
    if (W < 1 || N < 1) begin : g_check
      hwc_error_repeat_sizes_must_be_ge_1 u_error ();
    end
  endgenerate

  hwc_count #(.N(N), .W(NW)) u_turn (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(s_valid_i && m_ready_i), .count_o(unused_turn), .last_o(last)
  );

  assign m_valid_o = s_valid_i;
  assign s_ready_o = m_ready_i && last;
  assign m_data_o  = s_data_i;

endmodule

`default_nettype wire
