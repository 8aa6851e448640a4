"""redis-py's Lock, driven as `driver/loops.rs` drives ours: `driver.py PART --name value …` prints one line of JSON."""

import argparse
import asyncio
import json
import math
import resource
import time

import redis.asyncio
from redis.exceptions import LockError

line = argparse.ArgumentParser()
line.add_argument("part")
line.add_argument("--redis", required=True)
line.add_argument("--tasks", type=int, default=1)
line.add_argument("--seconds", type=float, default=1)
line.add_argument("--hold-ms", type=int, default=0)
line.add_argument("--ttl-ms", type=int, default=30_000)
line.add_argument("--rounds", type=int, default=1)
args = line.parse_args()
now = time.monotonic


def quantile(values, percent):
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)] * 1e3 if values else 0


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def hold(client, key, body=None):
    """Answers when the lock was had."""
    lock = client.lock(f"bench:{key}", timeout=args.ttl_ms / 1e3)  # its own pause: 100 ms
    await lock.acquire()
    had = now()
    if body:
        await body()
    await lock.release()
    return had


async def cycles(client, seconds):
    acquire, release, until = [], [], now() + seconds

    async def work(key):
        while (asked := now()) < until:
            had = await hold(client, key)
            acquire.append(had - asked)
            release.append(now() - had)

    await asyncio.gather(*(work(key) for key in range(args.tasks)))
    return acquire, release


async def cycle(client):
    warm, _ = await cycles(client, args.seconds / 10)
    used, begun = cpu(), now()
    acquire, release = await cycles(client, args.seconds)
    elapsed, used = now() - begun, cpu() - used
    return {
        "rate": len(acquire) / elapsed,
        "all": len(warm) + len(acquire),
        "client_us": used / len(acquire) * 1e6,
        "acquire_p50_ms": quantile(acquire, 50),
        "acquire_p99_ms": quantile(acquire, 99),
        "release_p50_ms": quantile(release, 50),
        "release_p99_ms": quantile(release, 99),
    }


async def wakeup(client):
    pairs, latencies = 8, []

    async def turn(key, time_held):
        released, waiter = None, None

        async def body():
            nonlocal released, waiter
            waiter = asyncio.create_task(hold(client, key))
            await asyncio.sleep(time_held)
            released = now()

        await hold(client, key, body)
        latencies.append(await waiter - released)

    async def pair(key):
        for round_ in range(args.rounds):
            await turn(key, (50 + (round_ * pairs + key) * 97 % 250) / 1e3)

    await asyncio.gather(*(pair(key) for key in range(pairs)))
    return {f"p{percent}_ms": quantile(latencies, percent) for percent in (50, 90, 99)}


async def contend(client):
    begun = now()
    until = begun + args.seconds
    turns, worst, asked = [0] * args.tasks, [0.0] * args.tasks, [0.0] * args.tasks

    async def work(index):
        async def body():
            worst[index] = max(worst[index], now() - asked[index])
            asked[index] = 0.0
            turns[index] += 1
            await asyncio.sleep(args.hold_ms / 1e3)

        while now() < until:
            asked[index] = now()
            await hold(client, 0, body)

    tasks = [asyncio.create_task(work(index)) for index in range(args.tasks)]
    await asyncio.wait(tasks, timeout=args.seconds)
    elapsed = now() - begun
    # Who still waits in the end has waited so long, too.
    waits = [max(longest, until - since if since else 0) for longest, since in zip(worst, asked)]
    result = {"rate": sum(turns) / elapsed, "least": min(turns), "most": max(turns), "worst_wait_ms": max(waits) * 1e3}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return result


async def loss(client):
    stolen, is_told = None, False

    async def body():
        nonlocal stolen
        await asyncio.sleep(min(args.ttl_ms, args.hold_ms) / 4e3)
        await client.set("bench:0", "thief")
        stolen = now()
        await asyncio.sleep(args.hold_ms * 3 / 4e3)

    try:
        await hold(client, 0, body)
    except LockError:  # by its release, when the work is done
        is_told = True
    return {"is_told": is_told, "after_ms": (now() - stolen) * 1e3}


async def cancel(client):
    """A cancelled task leaves `hold` without a release, unless the caller wrote `async with`: this one did."""
    times = []
    for key in range(args.rounds):
        held = asyncio.Event()

        async def holder():
            async with client.lock(f"bench:{key}", timeout=args.ttl_ms / 1e3):
                held.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(holder())
        await held.wait()
        left = now()
        task.cancel()
        times.append(await hold(client, key) - left)
    return {"median_ms": quantile(times, 50), "worst_ms": quantile(times, 100)}


async def frozen(client):
    until, slowest, refused, first = now() + args.seconds, 0.0, [], math.inf

    async def work(key):
        nonlocal slowest, first
        while (begun := now()) < until:
            try:
                await hold(client, key)
            except redis.exceptions.RedisError:
                if begun > first:
                    refused.append(now() - begun)
                first = min(first, now())
            slowest = max(slowest, now() - begun)
            await asyncio.sleep(0.001)

    await asyncio.gather(*(work(key) for key in range(args.tasks)))
    p50, p99 = (quantile(refused, percent) if refused else None for percent in (50, 99))
    return {"slowest_ms": slowest * 1e3, "refused": len(refused), "refused_p50_ms": p50, "refused_p99_ms": p99}


async def main():
    client = redis.asyncio.Redis.from_url(args.redis, max_connections=args.tasks + 16)
    parts = {"cycle": cycle, "wakeup": wakeup, "contend": contend, "loss": loss, "cancel": cancel, "frozen": frozen}
    print(json.dumps(await parts[args.part](client)), flush=True)
    await client.aclose()


asyncio.run(main())
