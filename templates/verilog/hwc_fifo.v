// hwc_fifo: elastic first-in first-out buffer for a valid/ready stream, first word falls through.
//
// Holds exactly DEPTH words. s_ready_o depends on registers only, never on m_ready_i, and m_valid_o never
// on s_valid_i: it cuts every combinational path. One word per cycle in and out at any DEPTH.
// Latency from input to output: 1 cycle for DEPTH = 2 (two registers), 2 cycles for more (RAM and a register).
`default_nettype none

module hwc_fifo #(
    parameter W     = 8,  // bits per word
    parameter DEPTH = 2   // words; at least 2
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

  generate
    if (W < 1 || DEPTH < 2) begin : g_check
      hwc_error_fifo_needs_depth_ge_2 u_error ();
    end

    if (DEPTH == 2) begin : g_regs
      reg         head_valid_q;
      reg         skid_valid_q;
      reg [W-1:0] head_q;
      reg [W-1:0] skid_q;

      wire push = s_valid_i && !skid_valid_q;
      wire free = !head_valid_q || m_ready_i;  // the head register can take a word

      always @(posedge clk_i) begin
        if (!rst_ni) begin
          head_valid_q <= 1'b0;
          skid_valid_q <= 1'b0;
        end else begin
          head_valid_q <= !free || skid_valid_q || push;
          skid_valid_q <= !free && (skid_valid_q || push);
        end
      end

      always @(posedge clk_i) begin
        if (free) head_q <= skid_valid_q ? skid_q : s_data_i;
        if (push) skid_q <= s_data_i;
      end

      assign s_ready_o = !skid_valid_q;
      assign m_valid_o = head_valid_q;
      assign m_data_o  = head_q;
    end else begin : g_ram
      localparam integer WORDS = DEPTH - 1;  // the RAM's output register holds the last one
      localparam integer AW = $clog2(WORDS);
      localparam integer CW = $clog2(WORDS + 1);

      reg  [CW-1:0] fill_q;
      reg           full_q;
      reg           empty_q;
      reg           valid_q;
      wire [AW-1:0] waddr;
      wire [AW-1:0] raddr;
      wire          unused_wlast;
      wire          unused_rlast;

      wire          push = s_valid_i && !full_q;
      wire          pop = !empty_q && (!valid_q || m_ready_i);
      wire [CW-1:0] fill_d = (push == pop) ? fill_q : push ? fill_q + 1'b1 : fill_q - 1'b1;

      always @(posedge clk_i) begin
        if (!rst_ni) begin
          fill_q  <= {CW{1'b0}};
          full_q  <= 1'b0;
          empty_q <= 1'b1;
          valid_q <= 1'b0;
        end else begin
          fill_q  <= fill_d;
          full_q  <= fill_d == WORDS[CW-1:0];
          empty_q <= fill_d == {CW{1'b0}};
          valid_q <= pop || (valid_q && !m_ready_i);
        end
      end

      hwc_count #(.N(WORDS), .W(AW)) u_waddr (
          .clk_i(clk_i), .rst_ni(rst_ni), .en_i(push), .count_o(waddr), .last_o(unused_wlast)
      );
      hwc_count #(.N(WORDS), .W(AW)) u_raddr (
          .clk_i(clk_i), .rst_ni(rst_ni), .en_i(pop), .count_o(raddr), .last_o(unused_rlast)
      );
      hwc_ram #(.W(W), .DEPTH(WORDS), .AW(AW)) u_ram (
          .clk_i(clk_i), .we_i(push), .waddr_i(waddr), .wdata_i(s_data_i),
          .re_i(pop), .raddr_i(raddr), .rdata_o(m_data_o)
      );

      assign s_ready_o = !full_q;
      assign m_valid_o = valid_q;
    end
  endgenerate

endmodule

`default_nettype wire
