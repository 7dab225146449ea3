// hwc_delay: q_o is the d_i of N steps ago, a step being a cycle with en_i.
//
// A register for N = 1, else a RAM. q_o is unknown in the first N steps; nothing is reset but the address.
`default_nettype none

module hwc_delay #(
    parameter W = 8,  // bits
    parameter N = 1   // steps
) (
    input  wire         clk_i,
    input  wire         rst_ni,
    input  wire         en_i,
    input  wire [W-1:0] d_i,
    output wire [W-1:0] q_o
);

  generate
    if (W < 1 || N < 1) begin : g_check
      hwc_error_delay_needs_n_ge_1 u_error ();
    end

    if (N == 1) begin : g_reg
      reg [W-1:0] q;
      wire unused = rst_ni;
      always @(posedge clk_i) if (en_i) q <= d_i;
      assign q_o = q;
    end else begin : g_ram
      localparam integer AW = $clog2(N);
      wire [AW-1:0] waddr;
      wire          last;

      hwc_count #(.N(N), .W(AW)) u_addr (
          .clk_i(clk_i), .rst_ni(rst_ni), .en_i(en_i), .count_o(waddr), .last_o(last)
      );
      hwc_ram #(.W(W), .DEPTH(N), .AW(AW)) u_ram (
          .clk_i(clk_i), .we_i(en_i), .waddr_i(waddr), .wdata_i(d_i),
          .re_i(en_i), .raddr_i(last ? {AW{1'b0}} : waddr + 1'b1), .rdata_o(q_o)
      );
    end
  endgenerate

endmodule

`default_nettype wire
