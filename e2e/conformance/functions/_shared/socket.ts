/** Takes the upgrade and echoes; "close CODE REASON" closes instead. */
export function echo(req: Request, options: Deno.UpgradeWebSocketOptions = {}) {
  const { socket, response } = Deno.upgradeWebSocket(req, options);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => socket.send("open " + new URL(req.url).search);
  socket.onmessage = ({ data }) => {
    const close = typeof data === "string" && data.match(/^close (\d+) (.*)$/);
    if (close) socket.close(Number(close[1]), close[2]);
    else socket.send(data);
  };
  socket.onclose = ({ code, reason }) => console.log(`closed by the client: ${code} ${reason}`);
  return response;
}
