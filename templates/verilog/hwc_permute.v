// hwc_permute: gives each frame of N beats of LANES lanes out in another order.
//
// Word i of a ROM file (N words of hex, one a line) says where the lanes of output beat i come from: for each lane
// NW = max(1, clog2(N)) bits, the input beat, and above them clog2(LANES) bits, the lane in it; lane 0 at the bottom.
// Lanes may be repeated or left out. A frame starts when all of it is in. The buffer holds two frames and a few words,
// so that frames run back to back at one beat per cycle; each lane reads a copy of its own. Latency from the frame's
// last beat: 4 cycles.
`default_nettype none

module hwc_permute #(
    parameter DW       = 8,  // bits per lane
    parameter LANES    = 1,  // lanes per beat
    parameter N        = 2,  // beats per frame
    parameter MEM_FILE = ""  // the order: N words of LANES*(NW + clog2(LANES)) bits
) (
    input  wire                clk_i,
    input  wire                rst_ni,
    input  wire                s_valid_i,
    output wire                s_ready_o,
    input  wire [LANES*DW-1:0] s_data_i,
    output wire                m_valid_o,
    input  wire                m_ready_i,
    output wire [LANES*DW-1:0] m_data_o
);

  localparam integer DEPTH = 2 * N + 2;  // 2: the place of a word is free that much after its last read is issued
  localparam integer AW = $clog2(DEPTH);
  localparam integer NW = (N > 1) ? $clog2(N) : 1;
  localparam integer LW = (LANES > 1) ? $clog2(LANES) : 1;
  localparam integer OW = NW + $clog2(LANES);
  localparam integer STEP = N;

  generate
    if (DW < 1 || LANES < 1 || N < 1) begin : g_check
      hwc_error_permute_sizes_must_be_ge_1 u_error ();
    end
  endgenerate

  wire                ok, room, last, unused_wlast;
  wire [      NW-1:0] index;
  wire [LANES*OW-1:0] order;
  wire [      AW-1:0] waddr, base;
  reg                 valid_q1, valid_q2, valid_q3, drop_q1, drop_q2;
  reg  [      AW-1:0] base_q, base_q1;
  wire                en = !valid_q3 || m_ready_i;
  wire                issue = ok && en;
  wire                write = s_valid_i && room;

  hwc_credit #(.DEPTH(DEPTH), .SPAN(N), .D0(N), .D1(N), .D2(N)) u_credit (
      .clk_i(clk_i), .rst_ni(rst_ni), .write_i(write), .take_i(issue && last), .kind_i(2'b00),
      .drop_i(en && valid_q2 && drop_q2), .drop_kind_i(2'b00), .ok_o(ok), .room_o(room)
  );
  hwc_count #(.N(DEPTH), .W(AW)) u_waddr (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(write), .count_o(waddr), .last_o(unused_wlast)
  );
  hwc_count #(.N(N), .W(NW)) u_index (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(issue), .count_o(index), .last_o(last)
  );
  hwc_modadd #(.M(DEPTH), .W(AW)) u_base (.a_i(base_q), .b_i(STEP[AW-1:0]), .sum_o(base));
  hwc_rom #(.W(LANES * OW), .DEPTH(N), .AW(NW), .MEM_FILE(MEM_FILE)) u_order (
      .clk_i(clk_i), .en_i(en), .addr_i(index), .data_o(order)
  );

  always @(posedge clk_i) begin
    if (!rst_ni) {valid_q1, valid_q2, valid_q3} <= 3'b000;
    else if (en) {valid_q1, valid_q2, valid_q3} <= {ok, valid_q1, valid_q2};
  end
  always @(posedge clk_i) begin
    if (!rst_ni) base_q <= {AW{1'b0}};
    else if (issue && last) base_q <= base;
  end
  always @(posedge clk_i) begin
    if (en) {drop_q1, drop_q2, base_q1} <= {last, drop_q1, base_q};
  end

  genvar i;
  generate
    for (i = 0; i < LANES; i = i + 1) begin : g_lane
      wire [      AW-1:0] addr;
      reg  [      AW-1:0] addr_q2;
      wire [LANES*DW-1:0] word;

      hwc_modadd #(.M(DEPTH), .W(AW)) u_addr (
          .a_i(base_q1), .b_i({{AW - NW{1'b0}}, order[i*OW +: NW]}), .sum_o(addr)
      );
      always @(posedge clk_i) if (en) addr_q2 <= addr;
      hwc_ram #(.W(LANES * DW), .DEPTH(DEPTH), .AW(AW)) u_ram (
          .clk_i(clk_i), .we_i(write), .waddr_i(waddr), .wdata_i(s_data_i),
          .re_i(en && valid_q2), .raddr_i(addr_q2), .rdata_o(word)
      );

      if (LANES > 1) begin : g_select
        reg [LW-1:0] lane_q2, lane_q3;
        always @(posedge clk_i) if (en) {lane_q2, lane_q3} <= {order[i*OW+NW +: LW], lane_q2};
        assign m_data_o[i*DW +: DW] = word[lane_q3*DW +: DW];
      end else begin : g_single
        assign m_data_o = word;
      end
    end
  endgenerate

  assign s_ready_o = room;
  assign m_valid_o = valid_q3;

endmodule

`default_nettype wire
