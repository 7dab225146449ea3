// hwc_rom: read-only memory from a hex file, synchronous read; block RAM or logic is inferred.
//
// Read latency 1: data_o holds word addr_i of the last cycle with en_i. The file has DEPTH words of
// ceil(W/4) hex digits, one a line, word 0 first.
`default_nettype none

module hwc_rom #(
    parameter W        = 8,  // bits per word
    parameter DEPTH    = 1,  // words
    parameter AW       = 1,  // address width; 2**AW >= DEPTH
    parameter MEM_FILE = ""  // hex file for $readmemh
) (
    input  wire          clk_i,
    input  wire          en_i,
    input  wire [AW-1:0] addr_i,
    output wire [ W-1:0] data_o
);

  localparam integer WORDS = (DEPTH < 2) ? 2 : DEPTH;

  reg [W-1:0] mem [0:WORDS-1];
  reg [W-1:0] data_q;

  generate
    if (W < 1 || DEPTH < 1 || AW < 1 || AW < $clog2(DEPTH)) begin : g_check
      hwc_error_rom_needs_depth_ge_1_and_aw_ge_clog2_depth u_error ();
    end
    if (MEM_FILE != "") begin : g_file  // tools that read a cell on its own elaborate it without a file
      initial $readmemh(MEM_FILE, mem, 0, DEPTH - 1);
    end
  endgenerate

  always @(posedge clk_i) begin
    if (en_i) data_q <= mem[addr_i];
  end

  assign data_o = data_q;

endmodule

`default_nettype wire
