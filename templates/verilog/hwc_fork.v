// hwc_fork: one stream to N consumers that may stall independently.
//
// Each consumer gets every beat once; a beat is taken when all have it. No latency, one beat per cycle. Flags remember
// who has the beat already; m_valid_o does not depend on m_ready_i, nor s_ready_o on s_valid_i. All consumers share
// m_data_o. Buffers nothing: a consumer that stalls soon stalls the others.
`default_nettype none

module hwc_fork #(
    parameter W = 8,  // bits per beat
    parameter N = 2   // consumers
) (
    input  wire         clk_i,
    input  wire         rst_ni,
    input  wire         s_valid_i,
    output wire         s_ready_o,
    input  wire [W-1:0] s_data_i,
    output wire [N-1:0] m_valid_o,
    input  wire [N-1:0] m_ready_i,
    output wire [W-1:0] m_data_o
);

  generate
    if (W < 1 || N < 1) begin : g_check
      hwc_error_fork_needs_n_ge_1 u_error ();
    end
  endgenerate

  reg  [N-1:0] has_q;  // has taken the beat that is offered
  wire [N-1:0] has = has_q | m_ready_i;

  always @(posedge clk_i) begin
    if (!rst_ni) has_q <= {N{1'b0}};
    else if (s_valid_i) has_q <= s_ready_o ? {N{1'b0}} : has;
  end

  assign s_ready_o = &has;
  assign m_valid_o = {N{s_valid_i}} & ~has_q;
  assign m_data_o  = s_data_i;

endmodule

`default_nettype wire
