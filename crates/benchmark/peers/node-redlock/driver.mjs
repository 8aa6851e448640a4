// node redlock, driven as `driver/loops.rs` drives ours: `driver.mjs PART --name value …` prints one line of JSON.
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
// Its ES module declares no type that node would take it for.
import redlock from "redlock";

const Redlock = redlock.default ?? redlock;
const [part, ...rest] = process.argv.slice(2);
const options = { tasks: "1", seconds: "1", "hold-ms": "0", "ttl-ms": "30000", rounds: "1" };
for (let i = 0; i < rest.length; i += 2) options[rest[i].slice(2)] = rest[i + 1];
const [tasks, seconds, holdMs, ttl, rounds] =
  ["tasks", "seconds", "hold-ms", "ttl-ms", "rounds"].map((name) => Number(options[name]));

const redis = new Redis(options.redis);
const locks = new Redlock([redis]); // its own pauses: 200 ms and up to 100 ms of jitter
const patient = { retryCount: -1 };
locks.on("error", () => {}); // a lock that is taken counts as an error of its only server
const now = () => performance.now();
const each = (count, work) => Promise.all(Array.from({ length: count }, (_, index) => work(index)));
const quantile = (sorted, percent) => sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)] ?? 0;
const ascending = (values) => values.sort((a, b) => a - b);
const sum = (values) => values.reduce((a, b) => a + b, 0);

async function hold(key, body) {
  const lock = await locks.acquire([`bench:${key}`], ttl, patient);
  const had = now();
  await body?.();
  await lock.release();
  return had;
}

async function cycles(time) {
  const acquire = [], release = [], until = now() + time;
  await each(tasks, async (key) => {
    while (now() < until) {
      const asked = now();
      const had = await hold(key);
      acquire.push(had - asked);
      release.push(now() - had);
    }
  });
  return [ascending(acquire), ascending(release)];
}

const parts = {
  async cycle() {
    const [warm] = await cycles(seconds * 100);
    const cpu = process.cpuUsage(), begun = now();
    const [acquire, release] = await cycles(seconds * 1000);
    const elapsed = now() - begun, used = process.cpuUsage(cpu), count = acquire.length;
    return {
      rate: (count / elapsed) * 1000, all: warm.length + count, client_us: (used.user + used.system) / count,
      acquire_p50_ms: quantile(acquire, 50), acquire_p99_ms: quantile(acquire, 99),
      release_p50_ms: quantile(release, 50), release_p99_ms: quantile(release, 99),
    };
  },

  async wakeup() {
    const latencies = [], pairs = 8;
    await each(pairs, async (key) => {
      for (let round = 0; round < rounds; round++) {
        let released, waiter;
        await hold(key, async () => {
          waiter = hold(key);
          await sleep(50 + (((round * pairs + key) * 97) % 250));
          released = now();
        });
        latencies.push((await waiter) - released);
      }
    });
    ascending(latencies);
    return { p50_ms: quantile(latencies, 50), p90_ms: quantile(latencies, 90), p99_ms: quantile(latencies, 99) };
  },

  async contend() {
    const begun = now(), until = begun + seconds * 1000;
    const seen = Array.from({ length: tasks }, () => ({ turns: 0, worst: 0, asked: 0 }));
    const work = each(tasks, async (index) => {
      const mine = seen[index];
      while (now() < until) {
        mine.asked = now();
        await hold(0, async () => {
          mine.worst = Math.max(mine.worst, Math.min(now(), until) - mine.asked);
          mine.asked = 0;
          if (now() < until) mine.turns++;
          if (holdMs) await sleep(holdMs);
        });
      }
    });
    await Promise.race([work, sleep(seconds * 1000)]);
    const turns = seen.map((one) => one.turns);
    // Who still waits in the end has waited so long, too.
    const waits = seen.map((one) => Math.max(one.worst, one.asked ? until - one.asked : 0));
    return {
      rate: (sum(turns) / (now() - begun)) * 1000, least: Math.min(...turns), most: Math.max(...turns),
      worst_wait_ms: Math.max(...waits),
    };
  },

  async loss() {
    let stolen;
    const isTold = await locks.using(["bench:0"], ttl, async (signal) => {
      await sleep(Math.min(ttl, holdMs) / 4);
      await redis.set("bench:0", "thief");
      stolen = now();
      const aborted = new Promise((resolve) => signal.addEventListener("abort", resolve));
      await Promise.race([aborted, sleep((holdMs * 3) / 4)]);
    }).then(() => false, () => true); // its release fails, too, when the lock is another's
    return { is_told: isTold, after_ms: now() - stolen };
  },

  async frozen() {
    const until = now() + seconds * 1000;
    let slowest = 0;
    await each(tasks, async (key) => {
      while (now() < until) {
        const begun = now();
        await hold(key);
        slowest = Math.max(slowest, now() - begun);
        await sleep(1);
      }
    });
    return { slowest_ms: slowest, refused: 0, refused_p50_ms: null, refused_p99_ms: null };
  },
};

console.log(JSON.stringify(await parts[part]()));
process.exit(0);
