// Passes requests that come to PORT on to AGENTFS_URL with the key of AGENTFS_API_KEY, and all else as it came, the header Host included.
// Prints its own URL once it listens.
import http from 'node:http';

const { AGENTFS_URL, AGENTFS_API_KEY, PORT } = process.env;
const { hostname, port } = new URL(AGENTFS_URL);

const proxy = http.createServer((request, answer) => {
  const headers = { ...request.headers, authorization: `Bearer ${AGENTFS_API_KEY}` };
  const { method, url: path } = request;
  const onward = http.request({ hostname, port, method, path, headers }, (got) => {
    answer.writeHead(got.statusCode, got.headers);
    got.pipe(answer);
  });
  onward.on('error', (error) => answer.destroy(error));
  request.pipe(onward);
});

proxy.listen(PORT, '127.0.0.1', () => console.log(`http://127.0.0.1:${PORT}`));
