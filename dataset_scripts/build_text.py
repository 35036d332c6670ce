r"""Build a text data set folder, blocks of tokens and their tokenizer, that `datasets.load_dataset` opens.

python dataset_scripts/build_text.py data/books --input books/ --train-bpe 8192
python dataset_scripts/build_text.py data/docs --input 'docs/**/*.txt' --document-separator '\n\n\n' --tokenizer gpt2
python dataset_scripts/build_text.py data/wiki --input Salesforce/wikitext --config-name wikitext-103-raw-v1 \
    --validation-input Salesforce/wikitext --tokenizer mistral-v0.1
python dataset_scripts/build_text.py --help
"""

import sys
from pathlib import Path


try:
    from hrm_hf.data.script import run_script
    from hrm_hf.text.build import build_text
except ModuleNotFoundError as error:
    if error.name != "hrm_hf":
        raise
    # the package is not installed: take it from the repository that holds this script
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from hrm_hf.data.script import run_script
    from hrm_hf.text.build import build_text


if __name__ == "__main__":
    run_script(build_text)
