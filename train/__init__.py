"""Training: recipes, data, and one program for each stage.

    pretrain    the encoder predicts what a teacher says of frames to come
    align       the projector learns the language model's words
    instruct    LoRA teaches the language model to answer

Each runs as `videollm STAGE RECIPE --key value` or `python -m videollm.train.STAGE`, and
`accelerate launch -m videollm.train.STAGE RECIPE` on several devices. The loop is the Hugging
Face Trainer's; what is here gives it data, models, callbacks and recipes.

    arguments, recipe                       what can be set, and where it comes from
    stage, checkpoints, callbacks, parts    one run: resume, watch, what learns and how fast
    toyworld_data, scene_targets            scenes as batches for pretrain and align
    toyworld_dialogues, llava_data          clips with dialogues for align and instruct
    video_files, examples, collate          real files, bad samples, packing
    building, words                         models for the stages
"""
