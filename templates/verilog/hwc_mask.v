// hwc_mask: clears idle lanes: lane i of beat k of every CHUNKS, where bit i of word k of the file is 0. Combinational.
// Wires where there is no file.
`default_nettype none

module hwc_mask #(
    parameter LANES    = 1,  // lanes per beat
    parameter XW       = 8,  // bits per lane
    parameter CHUNKS   = 1,  // words
    parameter MEM_FILE = ""  // the words, hex
) (
    input  wire                clk_i,
    input  wire                rst_ni,
    input  wire                en_i,    // a beat passes
    input  wire [LANES*XW-1:0] data_i,
    output wire [LANES*XW-1:0] data_o
);

  localparam integer WORDS = (CHUNKS < 2) ? 2 : CHUNKS;
  localparam integer CW = $clog2(WORDS);

  genvar i;
  generate
    if (LANES < 1 || XW < 1 || CHUNKS < 1) begin : g_check
      hwc_error_mask_sizes_must_be_ge_1 u_error ();
    end
    if (MEM_FILE == "") begin : g_wires
      wire unused = &{1'b0, clk_i, rst_ni, en_i};
      assign data_o = data_i;
    end else begin : g_mask
      reg  [LANES-1:0] mem [0:WORDS-1];
      wire [   CW-1:0] chunk;
      wire [LANES-1:0] used = mem[chunk];
      wire             unused_last;
      initial $readmemh(MEM_FILE, mem, 0, CHUNKS - 1);
      hwc_count #(.N(CHUNKS), .W(CW)) u_chunk (
          .clk_i(clk_i), .rst_ni(rst_ni), .en_i(en_i), .count_o(chunk), .last_o(unused_last)
      );
      for (i = 0; i < LANES; i = i + 1) begin : g_lane
        assign data_o[i*XW +: XW] = used[i] ? data_i[i*XW +: XW] : {XW{1'b0}};
      end
    end
  endgenerate

endmodule

`default_nettype wire
