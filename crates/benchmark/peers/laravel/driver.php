<?php
// Laravel's Cache::lock, RateLimiter and Redis::throttle, driven as `driver/loops.rs` drives ours:
// `driver.php PART --name value …` prints one line of JSON. A task is a process here.

require_once 'Illuminate/Cache/autoload.php';
require_once 'Illuminate/Redis/autoload.php';

use Illuminate\Cache\RateLimiter;
use Illuminate\Cache\RedisStore;
use Illuminate\Cache\Repository;
use Illuminate\Container\Container;
use Illuminate\Redis\Limiters\DurationLimiter;
use Illuminate\Redis\RedisManager;

$options = ['tasks' => 1, 'seconds' => 1, 'hold-ms' => 0, 'ttl-ms' => 30000, 'rounds' => 1, 'limit' => 0, 'per-ms' => 0, 'at-ms' => 0, 'way' => 'rate-limiter'];
for ($i = 2; $i < $argc; $i += 2) {
    $options[substr($argv[$i], 2)] = $argv[$i + 1];
}

/** A connection of its own, as every PHP process has. */
function redis(): RedisManager
{
    global $options;
    $url = parse_url($options['redis']);
    $server = ['host' => $url['host'], 'port' => $url['port'], 'database' => 0];

    return new RedisManager(new Container, 'phpredis', ['options' => [], 'default' => $server]);
}

function store(): RedisStore
{
    return new RedisStore(redis(), 'bench');
}

function now(): float
{
    return hrtime(true) / 1e6;
}

/** Runs `$work(index)` in that many processes at once; answers with what they returned. */
function each(int $count, callable $work): array
{
    $pipes = [];
    for ($index = 0; $index < $count; $index++) {
        [$ours, $theirs] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
        if (pcntl_fork() === 0) {
            fclose($ours);
            fwrite($theirs, serialize($work($index)));
            exit(0);
        }
        fclose($theirs);
        $pipes[] = $ours;
    }
    $results = array_map(fn ($pipe) => unserialize(stream_get_contents($pipe)), $pipes);
    while (pcntl_wait($status) > 0);

    return $results;
}

function quantile(array $values, int $percent): float
{
    sort($values);

    return $values[max(0, (int) ceil(count($values) * $percent / 100) - 1)] ?? 0;
}

/** With what `$work(store, index)` took: rate, CPU and quantiles of its two times. */
function rate(callable $work): array
{
    global $options;
    $begun = now();
    $all = each($options['tasks'], function (int $index) use ($work, $options) {
        $step = $work(store(), $index);
        for ($until = now() + 100 * $options['seconds'], $warm = 0; now() < $until; $warm++) {
            $step();
        }
        $cpu = getrusage();
        $times = [];
        for ($begun = now(), $until = $begun + 1000 * $options['seconds']; now() < $until;) {
            $times[] = $step();
        }
        $elapsed = now() - $begun;
        $used = getrusage();
        $us = fn ($usage) => ($usage['ru_utime.tv_sec'] + $usage['ru_stime.tv_sec']) * 1e6 + $usage['ru_utime.tv_usec'] + $usage['ru_stime.tv_usec'];

        return [$times, $warm, $us($used) - $us($cpu), $elapsed];
    });
    $times = array_merge(...array_column($all, 0));
    $count = count($times);

    return [
        'rate' => $count / max(array_column($all, 3)) * 1000,
        'all' => $count + array_sum(array_column($all, 1)),
        'client_us' => array_sum(array_column($all, 2)) / $count,
        'acquire_p50_ms' => quantile(array_column($times, 0), 50), 'acquire_p99_ms' => quantile(array_column($times, 0), 99),
        'release_p50_ms' => quantile(array_column($times, 1), 50), 'release_p99_ms' => quantile(array_column($times, 1), 99),
    ];
}

$ttl = $options['ttl-ms'] / 1000;
$parts = [
    'cycle' => fn () => rate(fn ($store, $index) => function () use ($store, $index, $ttl) {
        $asked = now();
        $lock = $store->lock("lock:$index", (int) $ttl);
        $lock->get() or exit('a lock that nobody else wants is taken');
        $had = now();
        $lock->release();

        return [$had - $asked, now() - $had];
    }),

    // Half of the processes hold, the others wait; the clock is the machine's.
    'wakeup' => function () use ($options, $ttl) {
        $pairs = 8;
        $times = each(2 * $pairs, function (int $index) use ($options, $ttl, $pairs) {
            [$store, $key, $times] = [store(), $index % $pairs, []];
            for ($round = 0; $round < $options['rounds']; $round++) {
                $lock = $store->lock("lock:$key:$round", (int) $ttl);
                if ($index < $pairs) {
                    $lock->get();
                    usleep(1000 * (50 + ($round * $pairs + $key) * 97 % 250));
                    $times[] = now();
                    $lock->release();
                    // The next round begins when the waiter has had its turn.
                    while (! $store->get("turn:$key:$round")) {
                        usleep(1000);
                    }
                } else {
                    while (! $store->connection()->exists("bench:lock:$key:$round")) {
                        usleep(500);
                    }
                    $lock->block(60);
                    $times[] = now();
                    $lock->release();
                    $store->put("turn:$key:$round", 1, 60);
                }
            }

            return $times;
        });
        $waits = [];
        for ($key = 0; $key < $pairs; $key++) {
            foreach ($times[$key] as $round => $released) {
                $waits[] = max(0, $times[$key + $pairs][$round] - $released);
            }
        }

        return ['p50_ms' => quantile($waits, 50), 'p90_ms' => quantile($waits, 90), 'p99_ms' => quantile($waits, 99)];
    },

    'contend' => function () use ($options, $ttl) {
        $until = now() + 1000 * $options['seconds'];
        $all = each($options['tasks'], function () use ($options, $ttl, $until) {
            [$store, $turns, $worst] = [store(), 0, 0];
            while (($asked = now()) < $until) {
                $lock = $store->lock('lock', (int) $ttl);
                // What `block` does, with an end in the middle of a wait.
                while (! ($has = $lock->get()) && now() + 250 < $until) {
                    usleep(250000);
                }
                if (! $has) {
                    usleep((int) max(0, 1000 * ($until - now())));
                }
                $worst = max($worst, now() - $asked);
                if ($has) {
                    $turns++;
                    usleep(1000 * $options['hold-ms']);
                    $lock->release();
                }
            }

            return [$turns, $worst];
        });
        $turns = array_column($all, 0);

        return ['rate' => array_sum($turns) / $options['seconds'], 'least' => min($turns), 'most' => max($turns), 'worst_wait_ms' => max(array_column($all, 1))];
    },

    'loss' => function () use ($options, $ttl) {
        $store = store();
        $lock = $store->lock('lock', (int) $ttl);
        $lock->get();
        usleep(1000 * min($options['ttl-ms'], $options['hold-ms']) / 4);
        $store->connection()->set('bench:lock', 'thief');
        $stolen = now();
        usleep(1000 * $options['hold-ms'] * 3 / 4);

        // `Cache::lock(…)->get($work)` throws this answer away.
        return ['is_told' => ! $lock->release(), 'after_ms' => now() - $stolen];
    },

    'limit-rate' => fn () => rate(fn ($store, $index) => function () use ($store, $index, $options) {
        $asked = now();
        if ($options['way'] === 'rate-limiter') {
            $limiter = new RateLimiter(new Repository($store));
            $limiter->tooManyAttempts("limit:$index", 1000000) ?: $limiter->hit("limit:$index", 60);
        } else {
            (new DurationLimiter($store->connection(), "limit:$index", 1000000, 60))->acquire();
        }

        return [now() - $asked, 0];
    }),

    // Everybody begins at one moment; with a pause, once before and then over the end of the window.
    'limit-ask' => function () use ($options) {
        $store = store();
        $limiter = new RateLimiter(new Repository($store));
        $per = (int) ($options['per-ms'] / 1000);
        $ask = fn () => $options['way'] === 'rate-limiter'
            ? $limiter->attempt('limit', (int) $options['limit'], fn () => true, $per)
            : (new DurationLimiter($store->connection(), 'limit', (int) $options['limit'], $per))->acquire();
        usleep((int) max(0, 1000 * ($options['at-ms'] - microtime(true) * 1000)));
        $admitted = [];
        if ($options['hold-ms'] > 0) {
            $ask() and $admitted[] = now();
            usleep(1000 * $options['hold-ms']);
        }
        for ($until = now() + 1000 * $options['seconds']; now() < $until;) {
            $ask() and $admitted[] = now();
        }

        return ['admitted_at_ms' => $admitted];
    },
];

echo json_encode($parts[$argv[1]]()), "\n";
