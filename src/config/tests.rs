use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use log::LevelFilter;

use super::{Config, Secret, reachable};

const REQUIRED: [(&str, &str); 3] = [
    ("PAGE_ACCESS_TOKEN", "EAAPageToken"),
    ("VERIFY_TOKEN", "open sesame"),
    ("APP_SECRET", "5ecre7"),
];

fn read_os(lookup: &dyn Fn(&str) -> Option<OsString>) -> Result<Config, String> {
    Config::read(lookup).map_err(|error| error.to_string())
}

/// Reads the required settings and these, which come first.
fn read(settings: &[(&str, &str)]) -> Result<Config, String> {
    read_os(&|name| {
        let all = settings.iter().chain(&REQUIRED);
        let found = all.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.into())
    })
}

fn fine(name: &str, value: &str) -> Config {
    read(&[(name, value)]).unwrap_or_else(|error| panic!("{name}={value:?}: {error}"))
}

/// The one line about a setting that is not understood.
fn problem(name: &str, value: &str) -> String {
    match read(&[(name, value)]) {
        Ok(_) => panic!("{name}={value:?} is taken"),
        Err(error) => {
            assert!(error.starts_with(&format!("{name} ")), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
            error
        }
    }
}

fn listen(settings: &[(&str, &str)]) -> Vec<String> {
    let config = read(settings).expect("the settings are fine");
    config.listen.iter().map(ToString::to_string).collect()
}

#[test]
fn every_setting_but_the_secrets_has_a_default() {
    let config = read(&[]).expect("the required settings are enough");
    assert_eq!(config.page_access_token.expose(), "EAAPageToken");
    assert_eq!(config.verify_token.expose(), "open sesame");
    assert_eq!(config.app_secret.expose(), "5ecre7");
    assert_eq!(listen(&[]), ["127.0.0.1:5000"]);
    assert_eq!(config.webhook_path, "/");
    assert_eq!(config.data_dir, None);
    assert_eq!(config.threads, 64);
    assert_eq!(config.max_pending, 100_000);
    assert_eq!(config.send_rate, 300);
    assert_eq!(config.graph_url, "https://graph.facebook.com");
    assert_eq!(config.graph_version, "v26.0");
    assert_eq!(config.log_level, LevelFilter::Info);
}

#[test]
fn all_problems_are_told_at_once_in_a_fixed_order() {
    let error = Config::read(&|name| match name {
        "PORT" => Some("abc".into()),
        "APP_SECRET" => Some(" \n".into()),
        "RUST_LOG" => Some("loud".into()),
        _ => None,
    })
    .expect_err("five settings are wrong");
    let error = error.to_string();
    let named: Vec<_> = error
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(
        named,
        [
            "PAGE_ACCESS_TOKEN",
            "VERIFY_TOKEN",
            "APP_SECRET",
            "PORT",
            "RUST_LOG"
        ]
    );
}

#[test]
fn a_missing_setting_says_what_to_do() {
    let error = read_os(&|name| {
        let found = REQUIRED.iter().find(|(known, _)| *known == name);
        found
            .filter(|_| name != "APP_SECRET")
            .map(|(_, value)| value.into())
    })
    .expect_err("the app secret is missing");
    assert_eq!(
        error,
        "APP_SECRET is missing: set it to your app's secret, from App settings > Basic, or set \
         APP_SECRET_FILE to the path of a file with it"
    );
}

#[test]
fn port_listens_on_every_address_and_bind_overrides_it() {
    assert_eq!(listen(&[("PORT", "80")]), ["[::]:80", "0.0.0.0:80"]);
    assert_eq!(listen(&[("PORT", " 0\n")]), ["[::]:0", "0.0.0.0:0"]);
    assert_eq!(listen(&[("BIND", "10.0.0.1:81")]), ["10.0.0.1:81"]);
    assert_eq!(listen(&[("BIND", "[::1]:82")]), ["[::1]:82"]);
    let both = [("PORT", "80"), ("BIND", "127.0.0.1:81")];
    assert_eq!(listen(&both), ["127.0.0.1:81"]);
    for bad in ["abc", "-1", "65536", "80 81", ""] {
        problem("PORT", bad);
    }
    for bad in ["127.0.0.1", "localhost:80", ":80", "::1:80:x", "80", ""] {
        problem("BIND", bad);
    }
    let error = read(&[("PORT", "abc"), ("BIND", "127.0.0.1:81")]);
    assert!(error.expect_err("PORT is wrong").starts_with("PORT is"));
}

#[test]
fn a_webhook_path_is_a_plain_path_beside_the_health_check() {
    for good in ["/", "/webhook", "/a/b-c_d~e", "/healthz2"] {
        assert_eq!(fine("WEBHOOK_PATH", good).webhook_path, good);
    }
    for bad in ["webhook", "/healthz", "/a b", "/a?b", "/a#b", "/ü", ""] {
        problem("WEBHOOK_PATH", bad);
    }
}

#[test]
fn threads_are_from_2_to_1024() {
    for (good, threads) in [("2", 2), ("1024", 1024), (" 8 ", 8)] {
        assert_eq!(fine("THREADS", good).threads, threads);
    }
    for bad in ["1", "0", "-2", "1025", "x", "2.5", ""] {
        problem("THREADS", bad);
    }
}

#[test]
fn the_limits_are_whole_numbers_and_only_the_rate_may_be_none() {
    assert_eq!(fine("MAX_PENDING", "1").max_pending, 1);
    assert_eq!(fine("MAX_PENDING", "10000000").max_pending, 10_000_000);
    for bad in ["0", "10000001", "-1", "x", ""] {
        problem("MAX_PENDING", bad);
    }
    assert_eq!(fine("SEND_RATE", "0").send_rate, 0);
    assert_eq!(fine("SEND_RATE", "100000").send_rate, 100_000);
    for bad in ["100001", "-1", "2.5", "x", ""] {
        problem("SEND_RATE", bad);
    }
}

#[test]
fn the_data_directory_is_systemds_unless_it_is_set() {
    let data_dir = |settings: &[(&str, &str)]| {
        let config = read(settings).expect("the settings are fine");
        config.data_dir.map(|path| path.display().to_string())
    };
    let systemd = ("STATE_DIRECTORY", "/var/lib/a:/var/lib/b");
    assert_eq!(data_dir(&[systemd]).as_deref(), Some("/var/lib/a"));
    let both = [("DATA_DIR", "/data"), systemd];
    assert_eq!(data_dir(&both).as_deref(), Some("/data"));
    assert_eq!(data_dir(&[("STATE_DIRECTORY", "")]), None);
    problem("DATA_DIR", "");
}

#[test]
fn a_graph_url_is_an_address_without_a_password() {
    for (good, url) in [
        ("https://graph.facebook.com", "https://graph.facebook.com"),
        ("https://graph.facebook.com/", "https://graph.facebook.com"),
        ("http://127.0.0.1:80/x/", "http://127.0.0.1:80/x"),
        ("http://[::1]:80", "http://[::1]:80"),
        ("http://[::1]", "http://[::1]"),
    ] {
        assert_eq!(fine("GRAPH_URL", good).graph_url, url);
    }
    for bad in [
        "ftp://x",
        "graph.facebook.com",
        "https://",
        "https:///x",
        "https://:80",
        "https://x y",
        "https://x/?y",
        "https://x/#y",
        "https://x:abc",
        "https://x:0",
        "https://x:70000",
        "https://[::1",
        "https://[x]",
        "",
    ] {
        problem("GRAPH_URL", bad);
    }
    let problem = problem("GRAPH_URL", "https://user:hunter2@x");
    assert!(!problem.contains("hunter2"), "{problem}");
}

#[test]
fn a_secret_in_the_wrong_variable_is_not_repeated() {
    for secret in [
        "51mu1a7edapp5ecre70123456789abcd",
        "EAASimulatedPageAccessToken",
        "me@home",
    ] {
        let problem = problem("GRAPH_VERSION", secret);
        assert!(!problem.contains(secret), "{problem}");
    }
}

#[test]
fn a_graph_version_is_written_as_meta_writes_it() {
    for good in ["v26.0", "v3.10"] {
        assert_eq!(fine("GRAPH_VERSION", good).graph_version, good);
    }
    for bad in ["26", "26.0", "v26", "v26.", "v.0", "v26.0/", "v26.0.1", ""] {
        problem("GRAPH_VERSION", bad);
    }
}

#[test]
fn a_log_level_is_one_word() {
    for (good, level) in [
        ("error", LevelFilter::Error),
        ("warn", LevelFilter::Warn),
        ("INFO", LevelFilter::Info),
        ("debug", LevelFilter::Debug),
        ("trace", LevelFilter::Trace),
        ("off", LevelFilter::Off),
    ] {
        assert_eq!(fine("RUST_LOG", good).log_level, level);
    }
    for bad in ["verbose", "echobot=debug", ""] {
        problem("RUST_LOG", bad);
    }
}

#[test]
fn secrets_are_trimmed_and_not_empty() {
    for (name, value) in REQUIRED {
        let config = fine(name, &format!(" {value}\r\n"));
        let secrets = [
            config.page_access_token,
            config.verify_token,
            config.app_secret,
        ];
        assert!(secrets.iter().any(|secret| secret.expose() == value));
        problem(name, " \n");
    }
}

#[test]
fn a_token_that_cannot_stand_in_a_header_is_refused() {
    for bad in ["EAA Token", "EAA\nToken", "\"EAA\u{a0}Token\"", "EAAü"] {
        let problem = problem("PAGE_ACCESS_TOKEN", bad);
        assert!(!problem.contains("EAA"), "{problem}");
    }
}

#[test]
fn a_value_that_is_not_unicode_is_a_problem() {
    for wrong in ["VERIFY_TOKEN", "PORT"] {
        let error = read_os(&|name| {
            let found = REQUIRED.iter().find(|(known, _)| *known == name);
            match name == wrong {
                true => Some(OsString::from_vec(b"x\xff".to_vec())),
                false => found.map(|(_, value)| value.into()),
            }
        });
        let error = error.expect_err("it is not Unicode");
        assert!(error.starts_with(&format!("{wrong} is not valid UTF-8: set it to ")));
    }
}

#[test]
fn a_secret_in_the_place_of_its_file_is_not_shown() {
    let error = read_os(&|name| match name {
        "VERIFY_TOKEN_FILE" => Some("hunter2".into()),
        "PAGE_ACCESS_TOKEN" | "APP_SECRET" => Some("x".into()),
        _ => None,
    });
    let error = error.expect_err("there is no such file");
    assert!(error.starts_with("VERIFY_TOKEN_FILE: failed to read the file: "));
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn a_secret_cannot_be_printed() {
    assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    assert_eq!(
        format!("{:#?}", Some(Secret::new("hunter2"))).find("hunter2"),
        None
    );
    let config = format!("{:?}", read(&[]).expect("the settings are fine"));
    for (_, value) in REQUIRED {
        assert!(!config.contains(value), "{config}");
    }
}

#[test]
fn a_bot_that_listens_on_every_address_is_asked_on_loopback() {
    for (listens, asked) in [
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("[::]:80", "127.0.0.1:80"),
        ("192.0.2.1:80", "192.0.2.1:80"),
    ] {
        let found = reachable(listens.parse().expect("it is an address"));
        assert_eq!(found.to_string(), asked);
    }
}
