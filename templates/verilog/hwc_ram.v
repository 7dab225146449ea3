// hwc_ram: memory with one write port and one synchronous read port; block or distributed RAM is inferred.
//
// Read latency 1: rdata_o holds mem[raddr_i] of the last cycle with re_i. Reading an address in the
// cycle that writes it is not allowed (the vendors' memories differ there); the users never do it.
// Contents are not reset.
`default_nettype none

module hwc_ram #(
    parameter W     = 8,  // bits per word
    parameter DEPTH = 2,  // words
    parameter AW    = 1   // address width; 2**AW >= DEPTH
) (
    input  wire          clk_i,
    input  wire          we_i,
    input  wire [AW-1:0] waddr_i,
    input  wire [ W-1:0] wdata_i,
    input  wire          re_i,
    input  wire [AW-1:0] raddr_i,
    output wire [ W-1:0] rdata_o
);

  generate
    if (W < 1 || DEPTH < 2 || AW < $clog2(DEPTH)) begin : g_check
      hwc_error_ram_needs_depth_ge_2_and_aw_ge_clog2_depth u_error ();
    end
  endgenerate

  reg [W-1:0] mem [0:DEPTH-1];
  reg [W-1:0] rdata_q;

  always @(posedge clk_i) begin
    if (we_i) mem[waddr_i] <= wdata_i;
  end

  always @(posedge clk_i) begin
    if (re_i) rdata_q <= mem[raddr_i];
  end

  assign rdata_o = rdata_q;

endmodule

`default_nettype wire
