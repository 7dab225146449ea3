// hwc_count: counts 0, 1, .. N-1 and around again, one step per cycle with en_i.
//
// last_o tells that the count is N-1. N = 1 costs nothing. Does not load, does not count down.
`default_nettype none

module hwc_count #(
    parameter N = 2,  // number of values
    parameter W = 1   // width of count_o; 2**W >= N
) (
    input  wire         clk_i,
    input  wire         rst_ni,
    input  wire         en_i,
    output wire [W-1:0] count_o,
    output wire         last_o
);

  localparam integer MAX = N - 1;

  generate
    if (N < 1 || W < $clog2(N) || W < 1) begin : g_check
      hwc_error_count_needs_n_ge_1_and_w_ge_clog2_n u_error ();
    end

    if (N == 1) begin : g_one
      wire unused = &{1'b0, clk_i, rst_ni, en_i};
      assign count_o = {W{1'b0}};
      assign last_o  = 1'b1;
    end else begin : g_many
      reg [W-1:0] count_q;
      assign count_o = count_q;
      assign last_o  = count_q == MAX[W-1:0];
      always @(posedge clk_i) begin
        if (!rst_ni) count_q <= {W{1'b0}};
        else if (en_i) count_q <= last_o ? {W{1'b0}} : count_q + 1'b1;
      end
    end
  endgenerate

endmodule

`default_nettype wire
