// hwc_width: changes the number of lanes of a stream.
//
// A block of BEATS_I beats of LANES_I lanes becomes BEATS_O beats of LANES_O lanes, in lane order; every
// BLOCKS-th block is a short one of LAST_I and LAST_O beats (the end of a pixel). Surplus lanes are dropped,
// missing ones are zero or stale. max(BEATS_I, BEATS_O) cycles per block without a bubble, provided that one
// of the two is 1 or that all blocks are alike. Latency: 1 cycle after the block's last input beat.
// Wires only, if nothing changes or if a block is one beat on both sides.
`default_nettype none

module hwc_width #(
    parameter EW      = 8,  // bits per lane
    parameter LANES_I = 1,  // lanes of an input beat
    parameter LANES_O = 1,  // lanes of an output beat
    parameter BEATS_I = 1,  // input beats of a block
    parameter BEATS_O = 1,  // output beats of a block
    parameter BLOCKS  = 1,  // blocks per pixel
    parameter LAST_I  = 1,  // input beats of the last block of a pixel
    parameter LAST_O  = 1   // output beats of the last block of a pixel
) (
    input  wire                  clk_i,
    input  wire                  rst_ni,
    input  wire                  s_valid_i,
    output wire                  s_ready_o,
    input  wire [EW*LANES_I-1:0] s_data_i,
    output wire                  m_valid_o,
    input  wire                  m_ready_i,
    output wire [EW*LANES_O-1:0] m_data_o
);

  localparam integer IW = EW * LANES_I;
  localparam integer OW = EW * LANES_O;
  localparam integer BI = (BLOCKS == 1) ? LAST_I : BEATS_I;
  localparam integer BO = (BLOCKS == 1) ? LAST_O : BEATS_O;
  localparam integer FW = (BI * IW > BO * OW) ? BI * IW : BO * OW;
  localparam integer KW = (BLOCKS > 1) ? $clog2(BLOCKS) : 1;
  localparam integer CIW = (BI > 1) ? $clog2(BI) : 1;
  localparam integer COW = (BO > 1) ? $clog2(BO) : 1;
  localparam integer END_LI = LAST_I - 1;
  localparam integer END_O = BO - 1;
  localparam integer END_LO = LAST_O - 1;
  localparam WIRES = (BI == 1 && BO == 1) || (LANES_I == LANES_O && BI == BO && LAST_I == LAST_O);

  wire [FW-1:0] block;  // all lanes of the block in hand, the newest beat straight from s_data_i
  wire          unused_top = ^block;

  genvar k;
  generate
    if (EW < 1 || LANES_I < 1 || LANES_O < 1 || BLOCKS < 1 || LAST_I < 1 || LAST_O < 1
        || LAST_I > BI || LAST_O > BO) begin : g_check
      hwc_error_width_needs_sizes_ge_1_and_last_le_beats u_error ();
    end

    if (WIRES) begin : g_wires
      wire unused = &{1'b0, clk_i, rst_ni};
      if (FW > IW) begin : g_more
        assign block[FW-1:IW] = {FW - IW{1'b0}};
      end
      assign block[IW-1:0] = s_data_i;
      assign m_data_o  = block[OW-1:0];
      assign m_valid_o = s_valid_i;
      assign s_ready_o = m_ready_i;
    end else begin : g_shift
      reg  [  COW-1:0] left_q;   // output beats after the current one
      reg              valid_q;
      reg  [BO*OW-1:0] shift_q;
      wire [   KW-1:0] unused_block;
      wire [  CIW-1:0] in;       // beats collected
      wire             in_full, short;  // short: the last block of a pixel is being collected
      wire             in_last = in_full || (short && in == END_LI[CIW-1:0]);
      wire             more = BO > 1 && left_q != {COW{1'b0}};
      wire             free = !valid_q || (m_ready_i && !more);
      wire             load = s_valid_i && in_last && free, push = s_valid_i && s_ready_o;
      hwc_count #(.N(BLOCKS), .W(KW)) u_block (
          .clk_i(clk_i), .rst_ni(rst_ni), .en_i(load), .count_o(unused_block), .last_o(short)
      );
      hwc_count #(.N(BI), .W(CIW)) u_in (
          .clk_i(clk_i), .rst_ni(rst_ni && !load), .en_i(push), .count_o(in), .last_o(in_full)
      );

      if (FW > BI * IW) begin : g_more
        assign block[FW-1:BI*IW] = {FW - BI * IW{1'b0}};
      end
      assign block[(BI-1)*IW +: IW] = s_data_i;
      if (BLOCKS == 1 && BI > 1) begin : g_row  // all blocks alike: the beats move up
        reg [(BI-1)*IW-1:0] held_q;
        always @(posedge clk_i) if (push) held_q <= block[BI*IW-1:IW];
        assign block[(BI-1)*IW-1:0] = held_q;
      end else begin : g_slots
        for (k = 0; k < BI - 1; k = k + 1) begin : g_slot
          localparam integer SLOT = k;
          reg [IW-1:0] held_q;
          always @(posedge clk_i) if (push && in == SLOT[CIW-1:0]) held_q <= s_data_i;
          assign block[k*IW +: IW] = (k == LAST_I - 1 && short) ? s_data_i : held_q;
        end
      end

      always @(posedge clk_i) begin
        if (!rst_ni) begin
          left_q  <= {COW{1'b0}};
          valid_q <= 1'b0;
        end else begin
          if (load) left_q <= short ? END_LO[COW-1:0] : END_O[COW-1:0];
          else if (m_ready_i && more) left_q <= left_q - 1'b1;
          valid_q <= load || !free;
        end
      end

      always @(posedge clk_i) begin
        if (!valid_q || m_ready_i) shift_q <= more ? shift_q >> OW : block[BO*OW-1:0];
      end

      assign s_ready_o = !in_last || free;
      assign m_valid_o = valid_q;
      assign m_data_o  = shift_q[OW-1:0];
    end
  endgenerate

endmodule

`default_nettype wire
