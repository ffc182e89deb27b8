-- Sends one POST again and again, each time with another of 100,000 keys, and prints what came of it as a line of JSON.
--
-- BENCH_BODY     the body; its "000000" becomes the key
-- BENCH_API_KEY  the bearer
-- BENCH_EXPECT   when set, every answer is read and must contain this text (costs speed: for warming up)

local placeholder = "000000"
local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

local before, after

function init()
  math.randomseed(os.time() * 31 + number)
  local headers = {
    ["Authorization"] = "Bearer " .. os.getenv("BENCH_API_KEY"),
    ["Content-Type"] = "application/json",
  }
  -- Formatted once: all keys are equally long, so that nothing but the key differs.
  local request = wrk.format("POST", nil, headers, os.getenv("BENCH_BODY"))
  local from, to = request:find(placeholder, 1, true)
  before, after = request:sub(1, from - 1), request:sub(to + 1)

  wrong = 0
  local expected = os.getenv("BENCH_EXPECT")
  if expected then
    function response(_, _, body)
      if not body:find(expected, 1, true) then wrong = wrong + 1 end
    end
  end
end

function request()
  return before .. math.random(100000, 199999) .. after
end

function done(summary, latency)
  local wrong = 0
  for _, thread in ipairs(threads) do wrong = wrong + thread:get("wrong") end
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"microseconds":%d,"p50_us":%d,"p99_us":%d,"refused":%d,"broken":%d,"wrong":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout, wrong))
end
