"""Image similarity search: train an embedding network, evaluate it, search with it.

    python main.py --config train                      train; makes runs/version_0
    python main.py --config train --config.data.source=folder --config.data.path=DIR
    python main.py --mode=train --version=0            go on with a run that was stopped
    python main.py --mode=eval                         figures and pictures of the newest version
    python main.py --mode=index --images=DIR           embed a folder into an index, or update it
    python main.py --mode=search --query=FILE|URL      the most similar images of the index
    python main.py --mode=serve                        a web page that searches, and a REST API
    python main.py --mode=preview --config train       draw what a training would see
    python main.py --mode=download --output=DIR        write the images as class folders
    python main.py --mode=sweep --config sweep         try many configurations, find the best
    python main.py --mode=compare --versions=3,7       what the second version gained on the first
    python main.py --mode=average --versions=0,1,2     one network from several: the mean of weights
    python main.py --mode=ensemble --versions=0,1      several networks side by side as one

`--config` names a file; `--config.group.field=value` overrides a field; configs/train.py has all.
"""

import importlib
import os
import signal
import sys

# Until the libraries are loaded a Ctrl-C ends the process at once: what Python would raise amid
# their imports comes out as tracebacks. Where it was ignored, as in the background, it stays so.
ON_INTERRUPT = signal.getsignal(signal.SIGINT)
if __name__ == "__main__" and ON_INTERRUPT is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

try:
    from absl import flags

    from simsearch import errors
    from simsearch.config import files as config_files
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {sys.executable} has no module {error.name}; run `make install`, then "
        "`.venv/bin/python main.py`, or `source .venv/bin/activate` first"
    )

# TensorFlow feeds images and nothing else: what it says of its kernels is noise here.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

# What each mode calls, module and function of simsearch.commands, and the flags that it reads.
MODES = {
    "train": ("training", "main", "config version workdir"),
    "eval": ("evaluation", "evaluate", "version workdir split num_show_similar query_index seed"),
    "index": ("index", "main", "images version workdir index labels"),
    "search": ("search", "main", "query version workdir index top_k filter crop output json"),
    "serve": ("serve", "serve", "index host port version workdir"),
    "download": ("download", "main", "config output"),
    "preview": ("preview", "main", "config workdir output"),
    "sweep": ("sweep", "main", "config workdir"),
    "compare": ("compare", "main", "versions workdir split"),
    "average": ("average", "main", "versions workdir"),
    "ensemble": ("ensemble", "main", "versions workdir"),
}

FLAGS = flags.FLAGS
flags.DEFINE_enum("mode", "train", tuple(MODES), "What to do.")
flags.DEFINE_string("config", None, "Name in configs/ (default: train; sweep: sweep), or a path.")
flags.DEFINE_string("workdir", "runs", "Folder of the versions.")
flags.DEFINE_integer("version", None, "Default: the newest; of an index its own; train: a new one.")
flags.DEFINE_list("versions", None, "compare: two, such as 3,7; average, ensemble: two or more.")
flags.DEFINE_enum("split", "test", ("train", "validation", "test"), "eval, compare: which images.")
flags.DEFINE_integer("num_show_similar", 8, "eval: similar images to draw.", 1, 100)
flags.DEFINE_integer("query_index", None, "eval: row of the query to draw; default: random.")
flags.DEFINE_integer("seed", None, "eval: repeats the random choice of queries.", lower_bound=0)
flags.DEFINE_string("index", "lance:./index", "index, search, serve: lance:PATH or milvus:URL.")
flags.DEFINE_string("images", None, "index: folder of the images; run again, it is synchronised.")
flags.DEFINE_string("labels", None, "index: CSV file with a path column, label and metadata.")
flags.DEFINE_multi_string("query", [], "search: FILE, URL, - or id:ID; several are averaged.")
flags.DEFINE_integer("top_k", 8, "search: results.", lower_bound=1)
flags.DEFINE_string("filter", None, "search: such as \"label = 'cookie' and price < 3\".")
flags.DEFINE_list("crop", None, "search: x,y,width,height of the query, pixels or fractions.")
flags.DEFINE_bool("json", False, "search: print JSON.")
flags.DEFINE_string("output", None, "download: folder; search, preview: PNG to draw.")
flags.DEFINE_string("host", "127.0.0.1", "serve: address to be reached at; 0.0.0.0: from anywhere.")
flags.DEFINE_integer("port", 8000, "serve: port; 0: any free one.", 0, 65535)


def check_flags(mode: str) -> None:
    """Raises UsageError where a flag was given that the mode does not read."""
    read = MODES[mode][2].split()
    for flag in FLAGS.get_flags_for_module(sys.modules[__name__]):
        if flag.present and flag.name not in ("mode", *read):
            raise errors.UsageError(
                f"--{flag.name} is not read by --mode={mode}, which reads "
                f"{', '.join(f'--{name}' for name in read)} and --config.group.field=value"
            )


def run(argv: list[str]) -> None:
    """Reads the command line and calls the command that it names."""
    overrides, arguments = config_files.split_overrides(argv)
    try:
        unexpected = FLAGS(arguments)[1:]
    except flags.IllegalFlagValueError as error:
        given = str(error).removesuffix(f": {error.__context__}").removeprefix("flag ")
        parser = FLAGS[given[2:].partition("=")[0]].parser
        raise errors.UsageError(config_files.value_problem(given, parser)) from error
    if unexpected:
        raise errors.UsageError(f"unexpected argument {unexpected[0]!r}; flags begin with --")
    check_flags(FLAGS.mode)
    # Imported here so that a mistyped flag and --help are answered at once.
    from simsearch import allocator, progress

    allocator.collect_seldom()
    allocator.keep(large_arrays=FLAGS.mode != "serve")
    progress.log_to_stdout()
    module, function, names = MODES[FLAGS.mode]
    command = getattr(importlib.import_module(f"simsearch.commands.{module}"), function)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, ON_INTERRUPT)
    with errors.out_of_memory("free some of it, or lower eval.batch_size"):
        command(**{name: FLAGS[name].value for name in names.split()}, overrides=overrides)


def main(argv: list[str]) -> int:
    """Returns the exit code: 0 done, 1 a run that failed, 2 a request that cannot be met."""
    try:
        if {"--help", "-h", "--helpshort", "--helpfull"} & set(argv[1:]):
            print(f"{__doc__}\nFlags:\n{FLAGS.module_help(sys.modules[__name__])}")
        else:
            run(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read what is printed, such as `head`, has enough. What is left goes nowhere, or
        # Python would say at its end that it could not be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (errors.UsageError, flags.Error, errors.RunError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, errors.UsageError | flags.Error) else 1
    except KeyboardInterrupt as interrupt:
        print(str(interrupt) or "interrupted", file=sys.stderr)
        return getattr(interrupt, "exit_code", 130)
    return 0


if __name__ == "__main__":
    exit_code = main(sys.argv)
    if exit_code > 128:
        # A signal can end the work amid a compilation, whose threads crash when Python tidies up.
        sys.stdout.flush()
        os._exit(exit_code)
    sys.exit(exit_code)
