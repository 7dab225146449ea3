// hwc_rom: read-only memory from a hex file, synchronous read.
//
// Read latency 1: data_o holds word addr_i of the last cycle with en_i. STYLE: 0 block RAM or logic as the tool likes,
// 1 block RAM, 2 logic behind a register of the address, so that what reads the word can be one with it.
// The file has DEPTH words of ceil(W/4) hex digits, one a line, word 0 first.
`default_nettype none

module hwc_rom #(
    parameter W        = 8,  // bits per word
    parameter DEPTH    = 1,  // words
    parameter AW       = 1,  // address width; 2**AW >= DEPTH
    parameter STYLE    = 0,  // 0: any, 1: block RAM, 2: logic
    parameter MEM_FILE = ""  // hex file for $readmemh
) (
    input  wire          clk_i,
    input  wire          en_i,
    input  wire [AW-1:0] addr_i,
    output wire [ W-1:0] data_o
);

  localparam integer WORDS = (DEPTH < 2) ? 2 : DEPTH;

  generate
    if (W < 1 || DEPTH < 1 || AW < 1 || AW < $clog2(DEPTH) || STYLE < 0 || STYLE > 2) begin : g_check
      hwc_error_rom_needs_depth_ge_1_and_aw_ge_clog2_depth u_error ();
    end
    // Without a file tools elaborate a cell on its own.
    if (STYLE == 2) begin : g_logic
      reg [ W-1:0] mem [0:WORDS-1];
      reg [AW-1:0] addr_q;
      if (MEM_FILE != "") begin : g_file
        initial $readmemh(MEM_FILE, mem, 0, DEPTH - 1);
      end
      always @(posedge clk_i) if (en_i) addr_q <= addr_i;
      assign data_o = mem[addr_q];
    end else if (STYLE == 1) begin : g_block
      (* rom_style = "block", ram_style = "block" *)
      reg [W-1:0] mem [0:WORDS-1];
      reg [W-1:0] data_q;
      if (MEM_FILE != "") begin : g_file
        initial $readmemh(MEM_FILE, mem, 0, DEPTH - 1);
      end
      always @(posedge clk_i) if (en_i) data_q <= mem[addr_i];
      assign data_o = data_q;
    end else begin : g_any
      reg [W-1:0] mem [0:WORDS-1];
      reg [W-1:0] data_q;
      if (MEM_FILE != "") begin : g_file
        initial $readmemh(MEM_FILE, mem, 0, DEPTH - 1);
      end
      always @(posedge clk_i) if (en_i) data_q <= mem[addr_i];
      assign data_o = data_q;
    end
  endgenerate

endmodule

`default_nettype wire
