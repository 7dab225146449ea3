// hwc_permute: gives each frame of N beats out in another order: output beat i is input beat ADDR[i].
//
// ADDR comes from a ROM file (N words of hex, one a line) and need not be a permutation: beats may be repeated or
// left out. A frame starts when all of it is in. The buffer holds two frames and a few words, so that frames run
// back to back at one beat per cycle. Latency from the frame's last beat: 4 cycles.
`default_nettype none

module hwc_permute #(
    parameter DW       = 8,  // bits per beat
    parameter N        = 2,  // beats per frame
    parameter MEM_FILE = ""  // ADDR: N words of max(1, clog2(N)) bits
) (
    input  wire          clk_i,
    input  wire          rst_ni,
    input  wire          s_valid_i,
    output wire          s_ready_o,
    input  wire [DW-1:0] s_data_i,
    output wire          m_valid_o,
    input  wire          m_ready_i,
    output wire [DW-1:0] m_data_o
);

  localparam integer DEPTH = 2 * N + 2;  // 2: the place of a word is free that much after its last read is issued
  localparam integer AW = $clog2(DEPTH);
  localparam integer NW = (N > 1) ? $clog2(N) : 1;
  localparam integer STEP = N;

  wire          ok, room, last, unused_wlast;
  wire [NW-1:0] index, order;
  wire [AW-1:0] waddr, base, addr;
  reg           valid_q1, valid_q2, valid_q3, drop_q1, drop_q2;
  reg  [AW-1:0] base_q, base_q1, addr_q2;
  wire          en = !valid_q3 || m_ready_i;
  wire          issue = ok && en;
  wire          write = s_valid_i && room;

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
  hwc_rom #(.W(NW), .DEPTH(N), .AW(NW), .MEM_FILE(MEM_FILE)) u_order (
      .clk_i(clk_i), .en_i(en), .addr_i(index), .data_o(order)
  );
  hwc_modadd #(.M(DEPTH), .W(AW)) u_addr (
      .a_i(base_q1), .b_i({{AW - NW{1'b0}}, order}), .sum_o(addr)
  );
  hwc_ram #(.W(DW), .DEPTH(DEPTH), .AW(AW)) u_ram (
      .clk_i(clk_i), .we_i(write), .waddr_i(waddr), .wdata_i(s_data_i),
      .re_i(en && valid_q2), .raddr_i(addr_q2), .rdata_o(m_data_o)
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
    if (en) {drop_q1, drop_q2, base_q1, addr_q2} <= {last, drop_q1, base_q, addr};
  end

  assign s_ready_o = room;
  assign m_valid_o = valid_q3;

endmodule

`default_nettype wire
