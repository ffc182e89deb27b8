-- Sends one POST again and again, each time with other numbers of entries, and prints what came of it as a line of JSON.
--
-- BENCH_BODY      the body; each "000000" becomes the number of an entry
-- BENCH_FIRST     the first number, and BENCH_ENTRIES how many there are; all have the same length
-- BENCH_API_KEYS  a file of bearers, one a line; entry n is asked for with bearer n modulo their number
-- BENCH_EXPECT    when set, every answer is read and must contain this text, and tell of no error (costs speed: for warming up)

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

local first, last
local keys = {}
-- The request up to the bearer, from there up to the first number, and what follows each number.
local lead, rest
local after = {}

function init()
  math.randomseed(os.time() * 31 + number)
  first = tonumber(os.getenv("BENCH_FIRST"))
  last = first + tonumber(os.getenv("BENCH_ENTRIES")) - 1
  for key in io.lines(os.getenv("BENCH_API_KEYS")) do table.insert(keys, key) end

  local bearer, entry = "THE-BEARER", "000000"
  local headers = { ["Authorization"] = "Bearer " .. bearer, ["Content-Type"] = "application/json" }
  -- Formatted once: all numbers are equally long, so that nothing but them differs.
  local numbers = string.rep("0", #tostring(first))
  local body = os.getenv("BENCH_BODY"):gsub(entry, numbers)
  local request = wrk.format("POST", nil, headers, body)
  local from, to = request:find(bearer, 1, true)
  lead = request:sub(1, from - 1)
  local parts, begin = {}, to + 1
  while true do
    from, to = request:find(numbers, begin, true)
    if not from then break end
    table.insert(parts, request:sub(begin, from - 1))
    begin = to + 1
  end
  table.insert(parts, request:sub(begin))
  rest = table.remove(parts, 1)
  after = parts

  wrong = 0
  local expected = os.getenv("BENCH_EXPECT")
  if expected then
    function response(_, _, body)
      if not body:find(expected, 1, true) or body:find('"error":{', 1, true) then wrong = wrong + 1 end
    end
  end
end

function request()
  local entry = math.random(first, last)
  local key = keys[entry % #keys + 1]
  if #after == 1 then return lead .. key .. rest .. entry .. after[1] end
  local parts = { lead, key, rest }
  for _, part in ipairs(after) do
    table.insert(parts, entry)
    table.insert(parts, part)
    entry = math.random(first, last)
  end
  return table.concat(parts)
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
